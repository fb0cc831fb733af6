import { multiply } from "../../device/cpu/wasm/matmul.ts";
import type { TypedArray } from "../../dtype.ts";
import { forEachBatch, type MatmulPlan } from "./plan.ts";
import { matmulReference } from "./reference.ts";

/** The product with f32 sums where all three are f32: WebAssembly for large ones, loops for small or thin ones. */
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
