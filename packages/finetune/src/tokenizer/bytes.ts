import type { Tokenizer } from "./tokenizer.ts";

const encoder = new TextEncoder();

/** The character that stands for each byte in a byte-level vocabulary (GPT-2's table), turned around. */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const table = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return table;
})();

/** The bytes of UTF-8 text that a token of a byte-level tokenizer stands for. */
export function tokenBytes(tokenizer: Tokenizer, id: number): Uint8Array {
  const token = tokenizer.idToToken(id) ?? "";
  if (tokenizer.isAdded(id)) return encoder.encode(token);
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) bytes.push(...encoder.encode(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
