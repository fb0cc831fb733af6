import type { PackedLayout, Shape } from "@graft/tensor";
import { schemeNamed } from "./dequantize.ts";
import { type Packed, resolveOptions, type SchemeOptions } from "./scheme.ts";

/** What `quantize` and `quantizeModel` may be told of a scheme; each takes those it knows. */
export interface QuantizeOptions {
  /** "nf4", "fp4", "int8", "int4", "int4-asymmetric", "q4_0" or "q8_0". */
  readonly scheme: string;
  /** Values that share a scale. Default 64 for the schemes that have a choice. */
  readonly blockSize?: number;
  /** Keeps NF4's and FP4's scales in 8 bits: 4.127 instead of 4.5 bits a weight. Default false. */
  readonly doubleQuant?: boolean;
}

/**
 * Packs values by a scheme.
 *
 * @param values - f32, row-major
 * @throws ValueError for an unknown scheme or option, and for values that are not finite
 */
export function quantize(values: Float32Array, shape: Shape, options: QuantizeOptions): Packed {
  const scheme = schemeNamed(options.scheme);
  return scheme.quantize(values, shape, resolveOptions(scheme, schemeOptions(options)));
}

/** The options under the names of the scheme; what it does not know is refused there. */
export function schemeOptions({ scheme, blockSize, doubleQuant }: QuantizeOptions): SchemeOptions {
  const groups = "groupSize" in schemeNamed(scheme).options;
  return {
    ...(blockSize !== undefined && { [groups ? "groupSize" : "blockSize"]: blockSize }),
    ...(doubleQuant === true && { doubleQuant }),
  };
}

/** Packs values as others were packed. */
export function quantizeLike(
  { format, shape, blockSize, nested }: PackedLayout,
  values: Float32Array,
): Packed {
  return quantize(values, shape, {
    scheme: format.name,
    ...(blockSize > 0 && { blockSize }),
    doubleQuant: nested,
  });
}
