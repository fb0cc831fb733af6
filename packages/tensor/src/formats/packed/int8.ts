import { bytesOfWords, type PackedFormat, packedCount, wordsFor } from "./packed.ts";

/** INT8 by rows: `codes`, signed bytes, and `absmax`, one for each row; value `q · absmax / 127`. bitsandbytes' CB and SCB. */
export const int8: PackedFormat = {
  name: "int8",
  blockSizes: [],
  nests: false,
  columnMultiple: 1,

  parts(layout) {
    return [
      { name: "codes", dtype: "u32", size: wordsFor(packedCount(layout)) },
      { name: "absmax", dtype: "f32", size: layout.shape[0] },
    ];
  },

  decode({ shape: [, columns] }, [words, absmax], start, end, out) {
    const codes = bytesOfWords(words);
    for (let i = start; i < end; ) {
      const row = Math.floor(i / columns);
      const scale = absmax[row];
      for (const stop = Math.min(end, (row + 1) * columns); i < stop; i++)
        out[i - start] = (((codes[i] << 24) >> 24) * scale) / 127;
    }
  },

  rowScale: { part: "absmax", factor: 1 / 127 },

  wgsl: (b) => ({
    declare: `fn ${b}_at(e: u32) -> f32 { return f32((bitcast<i32>(${b}_codes_at(e >> 2u)) << (24u - ((e & 3u) << 3u))) >> 24u); }
fn ${b}_four(e: u32) -> vec4f { return vec4f((vec4i(bitcast<i32>(${b}_codes_at(e >> 2u))) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)); }`,
  }),
};
