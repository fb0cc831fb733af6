import { type PackedLayout, type Shape, ShapeError, show, sizeOf, ValueError } from "@graft/tensor";

/**
 * How a scaled value becomes a whole number.
 * - `"halfEven"`: the nearest, a tie to the even one (bitsandbytes' int8, WGSL's `round`)
 * - `"halfAwayFromZero"`: the nearest, a tie away from zero (ggml's Q8_0, C's `roundf`)
 * - `"addHalfTruncate"`: `trunc(x + 0.5)` of something positive, so a tie goes up (ggml's Q4_0)
 * - `"aboveMidpoint"`: the next higher entry of a table only strictly above the midpoint, so a tie goes down (bitsandbytes' 4 bits)
 *
 * JavaScript's `Math.round` is none of them.
 */
export type Rounding = "halfEven" | "halfAwayFromZero" | "addHalfTruncate" | "aboveMidpoint";

/** Weights in few bits, on the host. The other fields belong to the scheme: codes, scales. */
export interface Packed {
  /** The scheme's name. */
  readonly scheme: string;
  /** Of the values, for example `[outFeatures, inFeatures]`. */
  readonly shape: Shape;
}

/** Packed weights as a device keeps them, still on the host: what `layout.format.parts(layout)` lists. */
export interface DeviceForm {
  readonly layout: PackedLayout;
  readonly parts: readonly (Uint32Array | Float32Array)[];
}

export type SchemeOptions = Readonly<Record<string, number | boolean>>;

/**
 * How floats become few bits and back. Values are taken in row-major order, in blocks that share a scale.
 * Adding a scheme is one file with a record and one export line in `schemes/index.ts`; laws and goldens run over all.
 */
export interface Scheme<O extends SchemeOptions = SchemeOptions, P extends Packed = Packed> {
  readonly name: string;
  readonly rounding: Rounding;
  /** Every option with all values it may take; the first is the default. */
  readonly options: { readonly [K in keyof O]: readonly O[K][] };
  /** Whether a zero comes back as zero. Where it does, no value comes back with the opposite sign. */
  readonly keepsZero: boolean;
  /** Whether `−w` has the errors of `w` (NF4's table is not symmetric). */
  readonly keepsNegation: boolean;

  /**
   * @param values - float32 values, row-major; widen float16 and bfloat16 first
   * @param shape - with as many values
   * @throws ValueError at the first value that is not finite, and for options that are not in the list
   */
  quantize(values: Float32Array, shape: Shape, options?: Partial<O>): P;

  /**
   * The values: computed exactly (float64), then rounded to float32 once.
   *
   * @param out - as many values or more; a new array when left out
   * @returns `out`
   */
  dequantize(packed: P, out?: Float32Array): Float32Array;

  /** The whole number that each value became, with its sign where the scheme has one. */
  codes(packed: P): Int16Array;

  /** The arrays as kernels read them. Weights must have two axes. */
  toDevice(packed: P): DeviceForm;

  /** The inverse of `toDevice`, bit for bit. */
  fromDevice(form: DeviceForm): P;

  /** Bytes of codes and scales, known before anything is quantized. */
  bytes(shape: Shape, options?: Partial<O>): number;

  /**
   * How far each value can at most lie from what `dequantize` gives, proven from the block's largest value alone
   * (rounding of float32 included).
   *
   * @param values - those that were quantized
   */
  errorBound(values: Float32Array, packed: P): Float64Array;
}

/** Bits for a value, scales included. */
export function bitsPerWeight<O extends SchemeOptions>(
  scheme: Scheme<O>,
  shape: Shape,
  options?: Partial<O>,
): number {
  return (8 * scheme.bytes(shape, options)) / sizeOf(shape);
}

/** The check that every `quantize` begins with. */
export function checkValues(name: string, values: Float32Array, shape: Shape): void {
  if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
    throw new ShapeError(name, `sizes must be whole numbers, got ${show(shape)}.`);
  if (sizeOf(shape) !== values.length)
    throw new ShapeError(name, `${show(shape)} must have ${sizeOf(shape)} values, got ${values.length}.`);
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new ValueError(name, `value ${i} must be finite, got ${values[i]}.`);
}

/** The check that every `dequantize` begins with; gives `out` or a new array. */
export function checkOut(name: string, packed: Packed, out?: Float32Array): Float32Array {
  if (packed.scheme !== name)
    throw new ValueError(name, `packed weights must be of this scheme, got ${packed.scheme}.`);
  const count = sizeOf(packed.shape);
  if (out !== undefined && out.length < count)
    throw new ValueError(name, `out must have room for ${count} values, got ${out.length}.`);
  return out ?? new Float32Array(count);
}

/** The options with defaults filled in. */
export function resolveOptions<O extends SchemeOptions>(
  { name, options }: { name: string; options: { readonly [K in keyof O]: readonly O[K][] } },
  given: Partial<O> = {},
): O {
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(options, key));
  if (unknown.length > 0) {
    const known = Object.keys(options).join(", ") || "none";
    throw new ValueError(name, `there is no option "${unknown[0]}". Options are: ${known}.`);
  }
  const entries = Object.entries<readonly O[keyof O][]>(options).map(([key, allowed]) => {
    const value = given[key] ?? allowed[0];
    if (!allowed.includes(value))
      throw new ValueError(name, `${key} must be one of ${allowed.join(", ")}, got ${value}.`);
    return [key, value];
  });
  return Object.fromEntries(entries);
}

/** Calls `visit(start, end, block)` for blocks of `size` values; the last may be short. */
export function forBlocks(
  count: number,
  size: number,
  visit: (start: number, end: number, block: number) => void,
): void {
  for (let block = 0; block * size < count; block++)
    visit(block * size, Math.min(count, (block + 1) * size), block);
}

/** The largest magnitude in `values[start, end)`. */
export function absmaxOf(values: ArrayLike<number>, start: number, end: number): number {
  let largest = 0;
  for (let i = start; i < end; i++) {
    const size = Math.abs(values[i]);
    if (size > largest) largest = size;
  }
  return largest;
}
