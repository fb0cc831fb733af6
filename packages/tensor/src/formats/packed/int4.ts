import { bytesOfWords, type PackedFormat, type PackedLayout, packedCount, wordsFor } from "./packed.ts";

const blockSizes = [64, 32, 128, 256];

const codesOf = (layout: PackedLayout) =>
  ({ name: "codes", dtype: "u32", size: wordsFor(Math.ceil(packedCount(layout) / 2)) }) as const;
const blocksOf = (layout: PackedLayout) => Math.ceil(packedCount(layout) / layout.blockSize);

/** The places in the nibbles of `codes`, the first in the low one, as WGSL. */
const nibble = (b: string) => `f32((${b}_codes_at(e >> 3u) >> ((e & 7u) << 2u)) & 15u)`;
const nibbles = (b: string) =>
  `vec4f((vec4u(${b}_codes_at(e >> 3u) >> ((e & 4u) << 2u)) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u))`;

/** Symmetric INT4 groups: `codes`, q + 8 in nibbles, the first in the low one, and `scale`; value `q · scale`. */
export const int4: PackedFormat = {
  name: "int4",
  blockSizes,
  nests: false,
  columnMultiple: 1,

  parts: (layout) => [codesOf(layout), { name: "scale", dtype: "f32", size: blocksOf(layout) }],

  decode({ blockSize }, [words, scale], start, end, out) {
    const codes = bytesOfWords(words);
    for (let i = start; i < end; i++) {
      const q = (codes[i >>> 1] >>> ((i & 1) << 2)) & 15;
      out[i - start] = (q - 8) * scale[Math.floor(i / blockSize)];
    }
  },

  wgsl: (b) => ({
    declare: `fn ${b}_at(e: u32) -> f32 { return (${nibble(b)} - 8f) * ${b}_scale_at(e >> P.${b}_shift); }
fn ${b}_four(e: u32) -> vec4f { return (${nibbles(b)} - vec4f(8f)) * ${b}_scale_at(e >> P.${b}_shift); }`,
  }),
};

/** Asymmetric INT4 groups: `codes`, `scale` and `minimum`; value `minimum + q · scale`. */
export const int4Asymmetric: PackedFormat = {
  name: "int4-asymmetric",
  blockSizes,
  nests: false,
  columnMultiple: 1,

  parts: (layout) => [
    codesOf(layout),
    { name: "scale", dtype: "f32", size: blocksOf(layout) },
    { name: "minimum", dtype: "f32", size: blocksOf(layout) },
  ],

  decode({ blockSize }, [words, scale, minimum], start, end, out) {
    const codes = bytesOfWords(words);
    for (let i = start; i < end; i++) {
      const q = (codes[i >>> 1] >>> ((i & 1) << 2)) & 15;
      const block = Math.floor(i / blockSize);
      out[i - start] = minimum[block] + q * scale[block];
    }
  },

  wgsl: (b) => ({
    declare: `fn ${b}_at(e: u32) -> f32 { let at = e >> P.${b}_shift; return fma(${nibble(b)}, ${b}_scale_at(at), ${b}_minimum_at(at)); }
fn ${b}_four(e: u32) -> vec4f { let at = e >> P.${b}_shift; return fma(${nibbles(b)}, vec4f(${b}_scale_at(at)), vec4f(${b}_minimum_at(at))); }`,
  }),
};
