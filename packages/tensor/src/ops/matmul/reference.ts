import type { TypedArray } from "../../dtype.ts";
import { forEachBatch, type MatmulPlan } from "./plan.ts";

/** The plain product: each value is one sum in float64, in the order of k. */
export function matmulReference(plan: MatmulPlan, a: TypedArray, b: TypedArray, y: TypedArray): void {
  const { m, n, k, aRow, aCol, bRow, bCol } = plan;
  const column = new Float64Array(k);
  forEachBatch(plan, (a0, b0, y0) => {
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) column[p] = b[b0 + p * bRow + j * bCol];
      for (let i = 0; i < m; i++) {
        let sum = 0;
        for (let p = 0, at = a0 + i * aRow; p < k; p++, at += aCol) sum += a[at] * column[p];
        y[y0 + i * n + j] = sum;
      }
    }
  });
}
