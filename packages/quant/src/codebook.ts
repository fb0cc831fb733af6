import { bytesOfWords, nestedBlockSize, type Shape, sizeOf, ValueError, wordsOfBytes } from "@graft/tensor";
import { dequantizeAbsmax, type NestedAbsmax, nestedBound, quantizeAbsmax } from "./doubleQuant.ts";
import { layoutNamed } from "./layout.ts";
import { packNibbles, unpackNibbles } from "./pack.ts";
import {
  absmaxOf,
  checkOut,
  checkValues,
  forBlocks,
  type Packed,
  resolveOptions,
  type Scheme,
} from "./scheme.ts";

export type CodebookOptions = {
  /** Values that share an absmax. */
  readonly blockSize: number;
  /** Keep the absmax in 8 bits: 4.127 instead of 4.5 bits a weight. */
  readonly doubleQuant: boolean;
};

/** 4-bit places in a table of 16 values, times the absmax of their block: bitsandbytes' nf4 and fp4. */
export interface CodebookPacked extends Packed {
  readonly blockSize: number;
  /** `[⌈n/2⌉]`, the first code in the high nibble. */
  readonly codes: Uint8Array;
  /** `[⌈n/blockSize⌉]`, of blocks over the flat values; the last may be short. */
  readonly absmax: Float32Array | NestedAbsmax;
}

// bitsandbytes' floor of a block's absmax, so that its reciprocal is finite.
const smallest = Math.fround(1e-38);

/**
 * A scheme from a table of 16 values in [−1, 1].
 *
 * @param table - by code; a value that stands twice is written as the lower code for what is not above it
 * @see bitsandbytes `backends/default/ops.py`, quantize_4bit, whose bytes these are
 */
export function codebookScheme(
  name: "nf4" | "fp4",
  table: Float32Array,
  keepsNegation: boolean,
): Scheme<CodebookOptions, CodebookPacked> {
  const { fround } = Math;
  const values = table;
  const order = [...table.keys()].sort((a, b) => values[a] - values[b]);
  const sorted = order.map((code) => values[code]);
  const midpoints = Float64Array.from(sorted.slice(1), (value, i) => fround(fround(sorted[i] + value) / 2));
  const codeAt = Uint8Array.from(order);
  const halfGap = sorted.reduce((gap, value, i) => Math.max(gap, (value - (sorted[i - 1] ?? value)) / 2), 0);
  const zero = table.indexOf(0);

  // The number of midpoints below the value. Those of lower cells are counted beforehand, so that few are compared.
  const cellOf = (value: number): number => Math.max(0, Math.min(1023, Math.trunc((value + 1) * 512)));
  const below = Uint8Array.from(
    { length: 1024 },
    (_, cell) => midpoints.filter((m) => cellOf(m) < cell).length,
  );
  const encode = (value: number): number => {
    let place = below[cellOf(value)];
    while (place < 15 && midpoints[place] < value) place++;
    return codeAt[place];
  };

  const scheme: Scheme<CodebookOptions, CodebookPacked> = {
    name,
    rounding: "aboveMidpoint",
    options: { blockSize: [64, 32, 128, 256, 512, 1024, 2048, 4096], doubleQuant: [false, true] },
    keepsZero: true,
    keepsNegation,

    quantize(input, shape, options) {
      const { blockSize, doubleQuant } = resolveOptions(scheme, options);
      checkValues(name, input, shape);
      const absmax = new Float32Array(Math.ceil(input.length / blockSize));
      const codes = new Uint8Array(input.length);
      forBlocks(input.length, blockSize, (start, end, block) => {
        const largest = absmaxOf(input, start, end);
        const divisor = Math.max(largest, smallest);
        // Whole blocks are multiplied by a rounded reciprocal and a short one is divided, and keeps the floor.
        const whole = end - start === blockSize;
        const inverse = fround(1 / divisor);
        absmax[block] = whole ? largest : divisor;
        for (let i = start; i < end; i++)
          codes[i] = encode(fround(whole ? input[i] * inverse : input[i] / divisor));
      });
      return {
        scheme: name,
        shape,
        blockSize,
        codes: packNibbles(codes, "highFirst", zero),
        absmax: doubleQuant ? quantizeAbsmax(absmax) : absmax,
      };
    },

    dequantize(packed, out) {
      const to = checkOut(name, packed, out);
      const count = sizeOf(packed.shape);
      const { blockSize, codes } = packed;
      const absmax = packed.absmax instanceof Float32Array ? packed.absmax : dequantizeAbsmax(packed.absmax);
      if (codes.length !== Math.ceil(count / 2) || absmax.length !== Math.ceil(count / blockSize))
        throw new ValueError(
          name,
          `${count} values in blocks of ${blockSize} must be ${Math.ceil(count / 2)} bytes and ${Math.ceil(count / blockSize)} scales, got ${codes.length} and ${absmax.length}.`,
        );
      for (let i = 0; i < count; i++) {
        const code = i % 2 === 0 ? codes[i >>> 1] >>> 4 : codes[i >>> 1] & 15;
        to[i] = values[code] * absmax[Math.floor(i / blockSize)];
      }
      return to;
    },

    codes({ shape, codes }) {
      return Int16Array.from(unpackNibbles(codes, sizeOf(shape), "highFirst"));
    },

    toDevice({ shape, blockSize, codes, absmax }) {
      const nested = !(absmax instanceof Float32Array);
      const layout = layoutNamed(name, shape, { blockSize, nested });
      const words = wordsOfBytes(codes);
      if (!nested) return { layout, parts: [words, absmax] };
      const scales = new Float32Array(absmax.absmax.length + 1);
      scales.set(absmax.absmax);
      scales[absmax.absmax.length] = absmax.offset;
      return { layout, parts: [words, wordsOfBytes(absmax.codes), scales] };
    },

    fromDevice({ layout: { shape, blockSize, nested }, parts: [words, absmax, scales] }) {
      const count = sizeOf(shape);
      const codes = bytesOfWords(words).slice(0, Math.ceil(count / 2));
      const base = { scheme: name, shape, blockSize, codes };
      if (!nested) return { ...base, absmax: Float32Array.from(absmax) };
      return {
        ...base,
        absmax: {
          codes: bytesOfWords(absmax).slice(0, Math.ceil(count / blockSize)),
          absmax: Float32Array.from(scales.subarray(0, -1)),
          offset: scales[scales.length - 1],
        },
      };
    },

    bytes(shape: Shape, options) {
      const { blockSize, doubleQuant } = resolveOptions(scheme, options);
      const count = sizeOf(shape);
      const blocks = Math.ceil(count / blockSize);
      const scales = doubleQuant ? blocks + 4 * Math.ceil(blocks / nestedBlockSize) + 4 : 4 * blocks;
      return Math.ceil(count / 2) + scales;
    },

    // With a the block's absmax: the scaled value is off by at most 2^-21 (above 2^126 the reciprocal is subnormal), its
    // code by half a gap. Below the floor codes are those of too small a value of the same sign: off by at most a.
    errorBound(input, { blockSize, absmax }) {
      const largest = new Float32Array(Math.ceil(input.length / blockSize));
      const bound = new Float64Array(input.length);
      forBlocks(input.length, blockSize, (start, end, block) => {
        const own = absmaxOf(input, start, end);
        largest[block] = end - start === blockSize ? own : Math.max(own, smallest);
        bound.fill((own < smallest ? own : own * (halfGap + 2 ** -21)) + 2 ** -148, start, end);
      });
      if (absmax instanceof Float32Array) return bound;
      const nested = nestedBound(largest);
      return bound.map((value, i) => value + nested[Math.floor(i / blockSize)] * (1 + 2 ** -20));
    },
  };
  return scheme;
}
