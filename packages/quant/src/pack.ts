import { ValueError } from "@graft/tensor";

/** Which of two 4-bit codes in a byte comes first: bitsandbytes begins with the high one. */
export type NibbleOrder = "highFirst" | "lowFirst";

/**
 * Two 4-bit codes a byte.
 *
 * @param codes - `[n]`, each in 0..15
 * @param pad - what fills the last byte when n is odd
 * @returns `[⌈n/2⌉]`
 */
export function packNibbles(codes: ArrayLike<number>, order: NibbleOrder, pad = 0): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < bytes.length; i++) {
    const first = codes[2 * i];
    const second = 2 * i + 1 < codes.length ? codes[2 * i + 1] : pad;
    if ((first | second) >>> 4 !== 0)
      throw new ValueError("packNibbles", `codes must lie in 0..15, got ${first} and ${second} at ${2 * i}.`);
    bytes[i] = order === "highFirst" ? (first << 4) | second : (second << 4) | first;
  }
  return bytes;
}

/** The inverse of `packNibbles`: the first `count` codes. */
export function unpackNibbles(bytes: Uint8Array, count: number, order: NibbleOrder): Uint8Array {
  if (bytes.length !== Math.ceil(count / 2))
    throw new ValueError(
      "unpackNibbles",
      `${count} codes must be ${Math.ceil(count / 2)} bytes, got ${bytes.length}.`,
    );
  const codes = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const high = (i % 2 === 0) === (order === "highFirst");
    codes[i] = high ? bytes[i >>> 1] >>> 4 : bytes[i >>> 1] & 15;
  }
  return codes;
}
