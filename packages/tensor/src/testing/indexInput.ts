import { type Shape, sizeOf } from "../shape.ts";
import type { SampleInput } from "./cases.ts";
import { randomOf } from "./values.ts";

/** An input of indices in [0, n), with repetitions. */
export function indexInput(shape: Shape, n: number, seed: number, dtype: "i32" | "u32" = "i32"): SampleInput {
  const random = randomOf(seed + 977);
  return { shape, dtype, values: Array.from({ length: sizeOf(shape) }, () => Math.floor(random() * n)) };
}
