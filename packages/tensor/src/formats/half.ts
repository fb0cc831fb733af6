import { ValueError } from "../errors.ts";

/**
 * float16 and bfloat16 to float32 and back, on raw bits.
 *
 * Node 20 has no Float16Array. A table read out this way takes 8 ms per million values, bit code written
 * this way 10 ms. All work goes through integer views, so NaN payloads survive both directions.
 */

let table: Uint32Array | undefined;

/** The float32 bits of each of the 65,536 float16 values; 256 KiB, made at the first use. */
function f16Table(): Uint32Array {
  if (table !== undefined) return table;
  table = new Uint32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 31) {
      table[half] = sign | 0x7f800000 | (fraction << 13);
    } else if (exponent > 0) {
      table[half] = sign | ((exponent + 112) << 23) | (fraction << 13);
    } else if (fraction > 0) {
      // Subnormal: fraction · 2^-24. Shift its leading one to where float32 implies it.
      const shift = Math.clz32(fraction) - 21;
      table[half] = sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
    } else {
      table[half] = sign;
    }
  }
  return table;
}

/**
 * float16 to float32, exactly.
 *
 * @param bits - `[n]` float16 bit patterns
 * @param out - `[n]` or longer; a new array when left out
 * @returns `out`
 */
export function f16ToF32(bits: Uint16Array, out: Float32Array = new Float32Array(bits.length)): Float32Array {
  checkRoom("f16ToF32", bits.length, out.length);
  const words = wordsOf(out);
  const values = f16Table();
  for (let i = 0; i < bits.length; i++) words[i] = values[bits[i]];
  return out;
}

/** One float16 bit pattern as a number, exactly. */
export function f16Value(bits: number): number {
  oneWord[0] = f16Table()[bits];
  return oneFloat[0];
}

const oneFloat = new Float32Array(1);
const oneWord = new Uint32Array(oneFloat.buffer);

/**
 * float32 to float16, rounded to nearest, ties to even. Above 65,519.99 it becomes infinity, at or below 2^-25 zero;
 * a NaN stays a NaN.
 *
 * @param values - `[n]`
 * @param out - `[n]` or longer, float16 bit patterns; a new array when left out
 * @returns `out`
 */
export function f32ToF16(
  values: Float32Array,
  out: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  checkRoom("f32ToF16", values.length, out.length);
  const words = wordsOf(values);
  for (let i = 0; i < words.length; i++) out[i] = f16BitsOf(words[i]);
  return out;
}

function f16BitsOf(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const abs = word & 0x7fffffff;
  if (abs > 0x7f800000) return sign | 0x7c00 | ((abs >>> 13) & 0x3ff || 0x200);
  if (abs >= 0x477ff000) return sign | 0x7c00; // 65,520 is half way to the next power of two
  if (abs >= 0x38800000) {
    const rebased = abs - 0x38000000; // exponent bias 127 to 15
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (abs <= 0x33000000) return sign; // 2^-25 is a tie with zero, and zero is even
  const shift = 126 - (abs >>> 23); // to units of 2^-24
  const mantissa = (abs & 0x7fffff) | 0x800000;
  const floor = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (floor + (rest > half || (rest === half && (floor & 1) === 1) ? 1 : 0));
}

/**
 * bfloat16 to float32, exactly: the upper half of the word.
 *
 * @param bits - `[n]` bfloat16 bit patterns
 * @param out - `[n]` or longer; a new array when left out
 * @returns `out`
 */
export function bf16ToF32(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  checkRoom("bf16ToF32", bits.length, out.length);
  const words = wordsOf(out);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return out;
}

/**
 * float32 to bfloat16, rounded to nearest, ties to even; a NaN stays a NaN.
 *
 * @param values - `[n]`
 * @param out - `[n]` or longer, bfloat16 bit patterns; a new array when left out
 * @returns `out`
 */
export function f32ToBf16(
  values: Float32Array,
  out: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  checkRoom("f32ToBf16", values.length, out.length);
  const words = wordsOf(values);
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const high = word >>> 16;
    if ((word & 0x7fffffff) > 0x7f800000) out[i] = (high & 0x7f) === 0 ? high | 0x40 : high;
    else out[i] = (word + 0x7fff + (high & 1)) >>> 16;
  }
  return out;
}

function wordsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function checkRoom(name: string, count: number, room: number): void {
  if (room < count) throw new ValueError(name, `out must have room for ${count} values, got ${room}.`);
}
