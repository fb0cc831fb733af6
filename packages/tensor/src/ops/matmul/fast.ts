import { multiply } from "../../device/cpu/wasm/matmul.ts";
import type { TypedArray } from "../../dtype.ts";
import { forEachBatch, type MatmulPlan } from "./plan.ts";
import { matmulReference } from "./reference.ts";

/** Up to so many multiplications a loop is done before WebAssembly's operands are packed (0.4 to 0.9 µs). */
const SMALL = 256;

/** The product with f32 sums where all three are f32: WebAssembly for all but the smallest. */
export function matmulFast(plan: MatmulPlan, a: TypedArray, b: TypedArray, y: TypedArray): void {
  if (!(a instanceof Float32Array && b instanceof Float32Array && y instanceof Float32Array)) {
    matmulReference(plan, a, b, y);
    return;
  }
  const { m, n, k } = plan;
  if (m === 0 || n === 0) return;
  if (k === 0) {
    y.fill(0);
    return;
  }
  if (m * n * k <= SMALL) {
    forEachBatch(plan, (aStart, bStart, yStart) => multiplySmall(plan, a, aStart, b, bStart, y, yStart));
    return;
  }
  forEachBatch(plan, (aStart, bStart, yStart) => {
    multiply(
      { values: a, start: aStart, row: plan.aRow, column: plan.aCol },
      { values: b, start: bStart, row: plan.bRow, column: plan.bCol },
      y,
      yStart,
      m,
      n,
      k,
    );
  });
}

/** Sums in float64. A function of its own for f32 arrays: V8 makes fast code for a loop that always sees one type. */
function multiplySmall(
  { m, n, k, aRow, aCol, bRow, bCol }: MatmulPlan,
  a: Float32Array,
  aStart: number,
  b: Float32Array,
  bStart: number,
  y: Float32Array,
  yStart: number,
): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      let pa = aStart + i * aRow;
      let pb = bStart + j * bCol;
      for (let p = 0; p < k; p++, pa += aCol, pb += bRow) sum += a[pa] * b[pb];
      y[yStart + i * n + j] = sum;
    }
  }
}
