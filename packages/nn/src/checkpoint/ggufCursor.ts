import { quote } from "./strictJson.ts";

/** Thrown when the part of the file in memory ends too early, though the file does not: read more and start again. */
export const needMore = Symbol("needMore");

/**
 * Reads GGUF's little-endian values from the first part of a file. Every length is checked against the whole file
 * before anything is made from it.
 */
export class GgufCursor {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileSize: number;
  readonly #fail: (problem: string) => Error;

  constructor(bytes: Uint8Array, fileSize: number, fail: (problem: string) => Error) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#fileSize = fileSize;
    this.#fail = fail;
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  u64(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what), true);
  }

  /** The next `length` bytes as a view that reads numbers. */
  view(length: number, what: string): DataView {
    const at = this.#take(length, what);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
  }

  /**
   * A 64-bit number of items that follow, each at least `itemBytes` long.
   *
   * @param most - refuses more than this
   */
  count(what: string, itemBytes: number, most: number): number {
    const count = this.u64(what);
    if (count > BigInt(most)) throw this.#fail(`${what} must be at most ${most}, got ${count}`);
    const room = this.#fileSize - this.position;
    if (Number(count) * itemBytes > room) {
      throw this.#fail(`${what} must fit in the remaining ${room} bytes, got ${count}`);
    }
    return Number(count);
  }

  /** A 64-bit length and so many bytes of UTF-8. */
  string(what: string, maxBytes: number): string {
    const length = this.count(`the length of ${what}`, 1, maxBytes);
    const start = this.#take(length, what);
    const bytes = this.#bytes.subarray(start, start + length);
    if (length <= 32) {
      // Vocabularies hold 100,000 short strings; a TextDecoder call for each would dominate.
      let text = "";
      let i = 0;
      while (i < length && bytes[i] < 0x80) text += String.fromCharCode(bytes[i++]);
      if (i === length) return text;
    }
    try {
      return decoder.decode(bytes);
    } catch {
      throw this.#fail(`${what} must be UTF-8, got ${quote(String.fromCharCode(...bytes.subarray(0, 40)))}`);
    }
  }

  #take(length: number, what: string): number {
    const start = this.position;
    const end = start + length;
    if (end > this.#fileSize) throw this.#fail(`the file ends inside ${what}`);
    if (end > this.#bytes.length) throw needMore;
    this.position = end;
    return start;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
