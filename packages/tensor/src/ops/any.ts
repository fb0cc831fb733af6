import { DTypeError } from "../errors.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";
import { eq } from "./eq.ts";
import { logicalNot } from "./logicalNot.ts";
import { ne } from "./ne.ts";
import type { ReduceOptions } from "./overAxes.ts";
import { reducedAxes } from "./reduce.ts";
import { sum } from "./sum.ts";

/** True where at least one value of the bool tensor `x` over `axes` (all where undefined) is; false for none. */
export function any(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  checkBool("any", x);
  return scope(() => ne(sum(cast(x, "u32"), reducedAxes("any", x.shape, axes), options), 0));
}

/** True where every value of the bool tensor `x` over `axes` (all where undefined) is; true for none. */
export function all(x: Tensor, axes?: number | readonly number[], options: ReduceOptions = {}): Tensor {
  checkBool("all", x);
  return scope(() => eq(sum(cast(logicalNot(x), "u32"), reducedAxes("all", x.shape, axes), options), 0));
}

function checkBool(who: string, x: Tensor): void {
  if (x.dtype !== "bool") throw new DTypeError(who, `x must be bool, got ${x.dtype}. Use ne(x, 0) first.`);
}
