import type { Tensor } from "../tensor.ts";
import { apply } from "./op.ts";
import { e } from "./pointwise/expr.ts";
import { pointwise } from "./pointwise/pointwise.ts";

const op = pointwise({
  name: "leakyRelu",
  inputs: ["x"],
  body: ([x], param) => e.select(e.le(x, 0), e.mul(param("slope"), x), x),
});

/** `x` where it is positive, `slope · x` elsewhere. The gradient at 0 is `slope`, as in PyTorch. `x` is of a float type. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  return apply(op, [x], { slope })[0];
}
