import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

/** How `gelu` computes the normal distribution: "none" by the error function, "tanh" by the approximation of GPT-2. */
export interface GeluOptions {
  approximate?: "none" | "tanh";
}

const exact = pointwise({
  name: "gelu",
  inputs: ["x"],
  body: ([x]) => e.mul(e.mul(0.5, x), e.add(1, e.erf(e.mul(Math.SQRT1_2, x)))),
});

// ½·(1 + tanh u) is sigmoid(2u), which keeps its digits where x is far below 0.
const approximated = pointwise({
  name: "gelu",
  inputs: ["x"],
  body: ([x]) => {
    const cube = e.mul(x, e.mul(x, x));
    const u = e.mul(Math.sqrt(2 / Math.PI), e.add(x, e.mul(0.044715, cube)));
    return e.mul(x, e.sigmoid(e.mul(2, u)));
  },
});

/**
 * Gaussian error linear unit, elementwise: `x · Φ(x)`, where Φ is the normal distribution. With `approximate: "tanh"`
 * `½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`. `x` is of a float type.
 * @see Hendrycks & Gimpel 2016, section 2, https://arxiv.org/abs/1606.08415
 */
export function gelu(x: Tensor, { approximate = "none" }: GeluOptions = {}): Tensor {
  return apply(approximate === "tanh" ? approximated : exact, [x], {})[0];
}
