import { ValueError } from "../errors.ts";

/**
 * How weights lie in memory: blocks of `blockSize` values in `blockBytes` bytes, one after the other, little-endian.
 * Adding a format is one file with a record and one export line in `index.ts`.
 */
export interface WeightFormat {
  /** GGUF's name in lower case, for example `"q4_0"`. */
  readonly name: string;
  /** Values per block; 1 for plain floats. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;

  /**
   * Widens `count` values to float32, bit for bit as the Python `gguf` package does.
   *
   * @param bytes - exactly `bytesFor(format, count)` bytes, at any alignment
   * @param count - a multiple of `blockSize`
   * @param out - `[count]` or longer; what lies beyond is left alone
   * @throws ValueError when the three disagree
   */
  decode(bytes: Uint8Array, count: number, out: Float32Array): void;

  /**
   * The text that reads packed values inside a kernel: `fn <name>_four(e: u32) -> vec4f`, the values number e to e + 3 (e a
   * multiple of 4), over `<name>_blocks_at(word)`, `<name>_word(h)`, 32 bits from half word h on, and `<name>_half(h)`, a float16.
   */
  wgsl?(name: string): string;

  /**
   * Refuses a NaN or infinite block scale (for plain floats: value), which would poison every product.
   *
   * @param bytes - whole blocks
   * @throws ValueError naming the first bad block
   */
  validate(bytes: Uint8Array): void;
}

/**
 * Bytes that `count` values take.
 *
 * @throws ValueError when `count` is no multiple of the block size
 */
export function bytesFor(format: WeightFormat, count: number): number {
  if (!Number.isSafeInteger(count) || count < 0 || count % format.blockSize !== 0) {
    throw new ValueError(format.name, `count must be a multiple of ${format.blockSize}, got ${count}.`);
  }
  return (count / format.blockSize) * format.blockBytes;
}

/** The check that every `decode` begins with. */
export function checkDecode(format: WeightFormat, bytes: Uint8Array, count: number, out: Float32Array): void {
  const expected = bytesFor(format, count);
  if (bytes.length !== expected) {
    throw new ValueError(format.name, `${count} values must be ${expected} bytes, got ${bytes.length}.`);
  }
  if (out.length < count) {
    throw new ValueError(format.name, `out must have room for ${count} values, got ${out.length}.`);
  }
}

/**
 * Checks the float16 fields of every block.
 *
 * @param offsets - byte offset in the block and name of each field
 */
export function checkHalfFields(
  format: WeightFormat,
  bytes: Uint8Array,
  fields: Readonly<Record<string, number>>,
): void {
  checkWholeBlocks(format, bytes);
  for (const [field, offset] of Object.entries(fields)) {
    for (let at = offset; at < bytes.length; at += format.blockBytes) {
      if ((bytes[at + 1] & 0x7c) === 0x7c) {
        const isNaN = (bytes[at + 1] & 0x03) !== 0 || bytes[at] !== 0;
        const block = Math.floor(at / format.blockBytes);
        throw new ValueError(
          format.name,
          `${field} of block ${block} must be finite, got ${isNaN ? "NaN" : "Infinity"}.`,
        );
      }
    }
  }
}

/** The check that every `validate` begins with. */
export function checkWholeBlocks(format: WeightFormat, bytes: Uint8Array): void {
  if (bytes.length % format.blockBytes !== 0) {
    throw new ValueError(
      format.name,
      `bytes must be a multiple of ${format.blockBytes}, got ${bytes.length}.`,
    );
  }
}

/** A view of the bytes as 16-bit words, copied only where they lie at an odd address. */
export function halfWords(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 1);
}

/** Four bytes at any address as an unsigned word, little-endian. */
export function word32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}
