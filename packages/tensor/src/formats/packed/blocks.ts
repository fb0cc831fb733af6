import type { WeightFormat } from "../format.ts";
import { bytesOfWords, type PackedFormat, type PackedLayout, packedCount, wordsFor } from "./packed.ts";

/**
 * GGUF blocks as they stand in a file, in the words of one part, `blocks`.
 *
 * @param reader - the format's WGSL, over `<name>_word(h)`, 32 bits from half word h on, and `<name>_half(h)`, a float16
 */
export function blockFormat(format: WeightFormat, reader: (name: string) => string): PackedFormat {
  const { name, blockSize, blockBytes } = format;
  const bytesOf = (layout: PackedLayout) => (packedCount(layout) / blockSize) * blockBytes;
  return {
    name,
    blockSizes: [],
    nests: false,
    columnMultiple: blockSize,

    parts: (layout) => [{ name: "blocks", dtype: "u32", size: wordsFor(bytesOf(layout)) }],

    decode(_, [words], start, end, out) {
      const first = Math.floor(start / blockSize);
      const last = Math.ceil(end / blockSize);
      const bytes = bytesOfWords(words).subarray(first * blockBytes, last * blockBytes);
      const count = (last - first) * blockSize;
      if (count === end - start) format.decode(bytes, count, out);
      else {
        const whole = new Float32Array(count);
        format.decode(bytes, count, whole);
        out.set(whole.subarray(start - first * blockSize, end - first * blockSize));
      }
    },

    wgsl: (b) => ({
      declare: `fn ${b}_word(h: u32) -> u32 {
  let low = ${b}_blocks_at(h >> 1u);
  let high = ${b}_blocks_at((h + 1u) >> 1u);
  return select(low, (low >> 16u) | (high << 16u), (h & 1u) == 1u);
}
fn ${b}_half(h: u32) -> f32 { return unpack2x16float(${b}_blocks_at(h >> 1u) >> ((h & 1u) << 4u)).x; }
${reader(b)}
fn ${b}_at(e: u32) -> f32 { return ${b}_four(e & ~3u)[e & 3u]; }`,
    }),
  };
}
