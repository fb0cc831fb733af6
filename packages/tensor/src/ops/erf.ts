import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({ name: "erf", inputs: ["x"], body: ([x]) => e.erf(x) });

/** The error function `2/√π · ∫₀ˣ e^(−t²) dt`, elementwise. `x` is of a float type. */
export function erf(x: Tensor): Tensor {
  return apply(op, [x], {})[0];
}
