import { Parameter } from "@graft/nn";
import { type Device, type DType, fromArray, type Generator, normal, uniform, zeros } from "@graft/tensor";
import type { LoraInit } from "./config.ts";

export interface FactorOptions {
  readonly device: Device;
  readonly dtype: DType;
  readonly rank: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

export interface Factors {
  readonly loraA: Parameter;
  readonly loraB: Parameter;
}

/** New factors. Draws one key for A, and one for B where that is random too. */
export function newFactors(options: FactorOptions, init: LoraInit, generator: Generator): Factors {
  const { device, dtype, rank, inFeatures, outFeatures } = options;
  const shapeA = [rank, inFeatures];
  const shapeB = [outFeatures, rank];
  const within = (shape: readonly number[], fanIn: number): Parameter => {
    const bound = 1 / Math.sqrt(fanIn);
    return new Parameter(uniform(device, generator.next(), shape, { low: -bound, high: bound, dtype }));
  };
  const loraA =
    init === "gaussian"
      ? new Parameter(normal(device, generator.next(), shapeA, { std: 1 / rank, dtype }))
      : within(shapeA, inFeatures);
  const loraB = init === false ? within(shapeB, rank) : new Parameter(zeros(device, shapeB, { dtype }));
  return { loraA, loraB };
}

/** Factors from host values, row-major. */
export function givenFactors(
  { device, dtype, rank, inFeatures, outFeatures }: FactorOptions,
  valuesA: ArrayLike<number>,
  valuesB: ArrayLike<number>,
): Factors {
  return {
    loraA: new Parameter(fromArray(device, valuesA, [rank, inFeatures], { dtype })),
    loraB: new Parameter(fromArray(device, valuesB, [outFeatures, rank], { dtype })),
  };
}
