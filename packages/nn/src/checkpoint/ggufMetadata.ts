import type { GgufCursor } from "./ggufCursor.ts";
import { quote } from "./strictJson.ts";

export type GgufScalar = number | bigint | boolean | string;

/** Arrays of numbers up to 32 bits and f64 are typed arrays, others plain ones. */
export type GgufArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | readonly string[]
  | readonly boolean[]
  | readonly (number | bigint)[];

export type GgufValue = GgufScalar | GgufArray;

/** Limits of this reader, far above every published model: the largest vocabularies have 300,000 tokens. */
const limits = { keyBytes: 65_535, stringBytes: 16 * 1024 * 1024, items: 4 * 1024 * 1024 } as const;

/** How one element of each numeric type is read; 7 bool, 8 string and 9 array stand apart. */
interface NumberType {
  readonly bytes: number;
  read(view: DataView, at: number): number | bigint;
  make(count: number): { [index: number]: number | bigint } & GgufArray;
}

const numbers: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, { bytes: 1, read: (view, at) => view.getUint8(at), make: (count) => new Uint8Array(count) }],
  [1, { bytes: 1, read: (view, at) => view.getInt8(at), make: (count) => new Int8Array(count) }],
  [2, { bytes: 2, read: (view, at) => view.getUint16(at, true), make: (count) => new Uint16Array(count) }],
  [3, { bytes: 2, read: (view, at) => view.getInt16(at, true), make: (count) => new Int16Array(count) }],
  [4, { bytes: 4, read: (view, at) => view.getUint32(at, true), make: (count) => new Uint32Array(count) }],
  [5, { bytes: 4, read: (view, at) => view.getInt32(at, true), make: (count) => new Int32Array(count) }],
  [6, { bytes: 4, read: (view, at) => view.getFloat32(at, true), make: (count) => new Float32Array(count) }],
  [
    10,
    {
      bytes: 8,
      read: (view, at) => narrowed(view.getBigUint64(at, true)),
      make: (count) => new Array<number | bigint>(count),
    },
  ],
  [
    11,
    {
      bytes: 8,
      read: (view, at) => narrowed(view.getBigInt64(at, true)),
      make: (count) => new Array<number | bigint>(count),
    },
  ],
  [12, { bytes: 8, read: (view, at) => view.getFloat64(at, true), make: (count) => new Float64Array(count) }],
]);

const boolType = 7;
const stringType = 8;
const arrayType = 9;

/** Reads `count` pairs of key and value. */
export function readMetadata(
  cursor: GgufCursor,
  count: number,
  fail: (problem: string) => Error,
): ReadonlyMap<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`metadata key ${i}`, limits.keyBytes);
    if (metadata.has(key)) throw fail(`metadata ${quote(key)} must be there once, got it twice`);
    const what = `metadata ${quote(key)}`;
    const type = cursor.u32(`the type of ${what}`);
    metadata.set(
      key,
      type === arrayType ? readArray(cursor, what, fail) : readScalar(cursor, type, what, fail),
    );
  }
  return metadata;
}

function readScalar(
  cursor: GgufCursor,
  type: number,
  what: string,
  fail: (problem: string) => Error,
): GgufScalar {
  if (type === stringType) return cursor.string(what, limits.stringBytes);
  if (type === boolType) return readBool(cursor, what, fail);
  const format = numbers.get(type);
  if (format === undefined) throw fail(`${what}: its type must be 0 to 12, got ${type}`);
  return format.read(cursor.view(format.bytes, what), 0);
}

function readArray(cursor: GgufCursor, what: string, fail: (problem: string) => Error): GgufArray {
  const type = cursor.u32(`the element type of ${what}`);
  const size = `the number of items of ${what}`;
  if (type === stringType) {
    const count = cursor.count(size, 8, limits.items);
    const strings: string[] = [];
    for (let i = 0; i < count; i++) strings.push(cursor.string(what, limits.stringBytes));
    return strings;
  }
  if (type === boolType) {
    const count = cursor.count(size, 1, limits.items);
    const flags: boolean[] = [];
    for (let i = 0; i < count; i++) flags.push(readBool(cursor, what, fail));
    return flags;
  }
  const format = numbers.get(type);
  if (format === undefined) {
    const got = type === arrayType ? "an array" : `type ${type}`;
    throw fail(`${what}: the items must be numbers, booleans or strings, got ${got}`);
  }
  const count = cursor.count(size, format.bytes, limits.items);
  const view = cursor.view(count * format.bytes, what);
  const values = format.make(count);
  for (let i = 0; i < count; i++) values[i] = format.read(view, i * format.bytes);
  return values;
}

function readBool(cursor: GgufCursor, what: string, fail: (problem: string) => Error): boolean {
  const byte = cursor.u8(what);
  if (byte > 1) throw fail(`${what}: a boolean must be 0 or 1, got ${byte}`);
  return byte === 1;
}

function narrowed(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
