import { ShapeError } from "../errors.ts";
import { show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { axisOf } from "./axis.ts";
import { slice } from "./slice.ts";

/**
 * `x` cut along `axis` into pieces, each as `slice` gives it.
 * @param sizes - one size for all pieces (the last may be smaller), or the size of each
 */
export function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
  const at = axisOf("split", x.shape, axis);
  const total = x.shape[at];
  if (typeof sizes === "number") {
    if (!(Number.isInteger(sizes) && sizes >= 1))
      throw new ShapeError("split", `the size must be a whole number of at least 1, got ${sizes}.`);
    const count = Math.max(1, Math.ceil(total / sizes));
    return Array.from({ length: count }, (_, i) => slice(x, at, i * sizes, Math.min(total, (i + 1) * sizes)));
  }
  const sum = sizes.reduce((a, b) => a + b, 0);
  if (sum !== total || sizes.some((size) => !(Number.isInteger(size) && size >= 0)))
    throw new ShapeError("split", `sizes must be whole numbers that add up to ${total}, got ${show(sizes)}.`);
  let start = 0;
  return sizes.map((size) => {
    start += size;
    return slice(x, at, start - size, start);
  });
}

/** `x` cut along `axis` into `count` pieces of equal size; as PyTorch's, fewer or a smaller last one where it does not divide. */
export function chunk(x: Tensor, count: number, axis = 0): Tensor[] {
  const at = axisOf("chunk", x.shape, axis);
  if (!(Number.isInteger(count) && count >= 1))
    throw new ShapeError("chunk", `count must be a whole number of at least 1, got ${count}.`);
  return split(x, Math.max(1, Math.ceil(x.shape[at] / count)), at);
}
