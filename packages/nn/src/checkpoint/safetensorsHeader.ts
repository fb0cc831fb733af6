import { byteLengthOf, isSafetensorsDtype, type SafetensorsDtype } from "./dtypes.ts";
import { integerOf, type Json, parseStrictJson, quote, show } from "./strictJson.ts";

export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** First byte, counted from the end of the header. */
  readonly begin: number;
  /** One past the last byte. */
  readonly end: number;
}

export interface SafetensorsHeader {
  /** `__metadata__`, or empty. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of the file's data. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
}

/** Limits of this reader. The reference has the first; the others are far above every published model. */
export const limits = { headerBytes: 100_000_000, tensors: 100_000, nameLength: 1024, axes: 32 } as const;

/**
 * Parses and checks the JSON header. Accepts only what describes each of the data's bytes exactly once.
 *
 * @param bytes - the header without its 8-byte length
 * @param dataBytes - bytes that follow the header
 * @param fail - makes the error; gets a sentence that follows the file's name
 */
export function parseHeader(
  bytes: Uint8Array,
  dataBytes: number,
  fail: (problem: string) => Error,
): SafetensorsHeader {
  if (bytes[0] !== 0x7b) throw fail("the header must begin with {");
  const root = parseStrictJson(decodeUtf8(bytes, fail), (problem) => fail(`the header ${problem}`));
  if (!(root instanceof Map)) throw fail(`the header must be a JSON object, got ${show(root)}`);

  let metadata: ReadonlyMap<string, string> = new Map();
  const entries: [string, SafetensorsEntry][] = [];
  for (const [name, value] of root) {
    if (name === "__metadata__") metadata = metadataOf(value, fail);
    else entries.push([name, entryOf(name, value, fail)]);
  }
  if (entries.length > limits.tensors)
    throw fail(`there must be at most ${limits.tensors} tensors, got ${entries.length}`);

  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const [name, { begin, end }] of entries) {
    if (begin !== position) {
      throw fail(
        `tensor ${quote(name)} must begin at byte ${position}, where the one before it ends, got ${begin}`,
      );
    }
    position = end;
  }
  if (position !== dataBytes) {
    throw fail(`its tensors must fill the ${dataBytes} bytes after the header exactly, got ${position}`);
  }
  return { metadata, tensors: new Map(entries) };
}

function decodeUtf8(bytes: Uint8Array, fail: (problem: string) => Error): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("the header must be UTF-8");
  }
}

function metadataOf(value: Json, fail: (problem: string) => Error): ReadonlyMap<string, string> {
  if (!(value instanceof Map)) throw fail(`__metadata__ must be an object, got ${show(value)}`);
  const metadata = new Map<string, string>();
  for (const [key, text] of value) {
    if (typeof text !== "string")
      throw fail(`__metadata__ ${quote(key)} must be a string, got ${show(text)}`);
    metadata.set(key, text);
  }
  return metadata;
}

function entryOf(name: string, value: Json, fail: (problem: string) => Error): SafetensorsEntry {
  const problem = (text: string): Error => fail(`tensor ${quote(name)}: ${text}`);
  if (name.length > limits.nameLength)
    throw problem(`its name must be at most ${limits.nameLength} characters long, got ${name.length}`);
  if (!(value instanceof Map)) throw problem(`its entry must be an object, got ${show(value)}`);
  for (const key of value.keys()) {
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets")
      throw problem(`unknown field ${quote(key)}`);
  }

  const dtype = value.get("dtype");
  if (typeof dtype !== "string" || !isSafetensorsDtype(dtype))
    throw problem(`dtype must be one of safetensors, got ${show(dtype)}`);
  const shape = integersOf(value.get("shape"));
  if (shape === undefined || shape.length > limits.axes) {
    throw problem(`shape must be up to ${limits.axes} whole numbers, got ${show(value.get("shape"))}`);
  }
  const offsets = integersOf(value.get("data_offsets"));
  if (offsets === undefined || offsets.length !== 2 || offsets[1] < offsets[0]) {
    throw problem(`data_offsets must be [begin, end], got ${show(value.get("data_offsets"))}`);
  }

  const [begin, end] = offsets;
  const length = byteLengthOf(dtype, shape);
  if (length === undefined)
    throw problem(`${dtype} ${showShape(shape)} must be a whole number of bytes below 2^53`);
  if (length !== end - begin)
    throw problem(`${dtype} ${showShape(shape)} must be ${length} bytes, got ${end - begin}`);
  return { dtype, shape, begin, end };
}

function integersOf(value: Json | undefined): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const integers: number[] = [];
  for (const item of value) {
    const integer = integerOf(item);
    if (integer === undefined) return undefined;
    integers.push(integer);
  }
  return integers;
}

export function showShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
