import { createReadStream } from "node:fs";

/** A line of a file, from 1, with its bytes (without the line end). */
export interface Line {
  readonly number: number;
  readonly bytes: Uint8Array;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BOM = [0xef, 0xbb, 0xbf];

/** The lines of a file one after the other, whatever its size; `\n` and `\r\n` end a line, a byte order mark is dropped. */
export async function* readLines(path: string): AsyncGenerator<Line> {
  let number = 0;
  let held: Uint8Array[] = [];
  const finish = (last: Uint8Array): Line => {
    let bytes: Uint8Array = held.length === 0 ? last : Buffer.concat([...held, last]);
    held = [];
    number++;
    if (bytes.at(-1) === RETURN) bytes = bytes.subarray(0, -1);
    if (number === 1 && BOM.every((byte, i) => bytes[i] === byte)) bytes = bytes.subarray(BOM.length);
    return { number, bytes };
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const bytes: Uint8Array = chunk;
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield finish(bytes.subarray(start, end));
      start = end + 1;
    }
    if (start < bytes.length) held.push(bytes.slice(start));
  }
  if (held.length > 0) yield finish(new Uint8Array(0));
}
