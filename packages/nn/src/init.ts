import { cast, type DType, normal, ones, type Tensor, uniform, zeros } from "@graft/tensor";
import type { LayerOptions } from "./layer.ts";
import { Parameter } from "./parameter.ts";

/** U(−bound, bound), or empty without a generator. */
export function uniformParameter(
  { device, generator, dtype = "f32" }: LayerOptions,
  shape: readonly number[],
  bound: number,
): Parameter {
  if (generator === undefined) return Parameter.empty(device, shape, dtype);
  return drawn(uniform(device, generator.next(), shape, { low: -bound, high: bound }), dtype);
}

/** N(0, std²), or empty without a generator. */
export function normalParameter(
  { device, generator, dtype = "f32" }: LayerOptions,
  shape: readonly number[],
  std: number,
): Parameter {
  if (generator === undefined) return Parameter.empty(device, shape, dtype);
  return drawn(normal(device, generator.next(), shape, { std }), dtype);
}

export function onesParameter({ device, dtype = "f32" }: LayerOptions, shape: readonly number[]): Parameter {
  return new Parameter(ones(device, shape, { dtype }));
}

export function zerosParameter({ device, dtype = "f32" }: LayerOptions, shape: readonly number[]): Parameter {
  return new Parameter(zeros(device, shape, { dtype }));
}

/** Random values are drawn in f32 and rounded where they are stored shorter. */
function drawn(values: Tensor, dtype: DType): Parameter {
  if (dtype === "f32") return new Parameter(values);
  const rounded = new Parameter(cast(values, dtype));
  values.dispose();
  return rounded;
}
