import { GgufCursor } from "./ggufCursor.ts";
import { type GgufValue, readMetadata } from "./ggufMetadata.ts";
import { type GgufType, ggufLayout } from "./ggufTypes.ts";
import { quote } from "./strictJson.ts";

export interface GgufTensor {
  readonly name: string;
  /** In PyTorch's order: the axis that lies together in memory is the last. */
  readonly shape: readonly number[];
  readonly type: GgufType;
  /** First byte, from the start of the file. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

export interface GgufHeader {
  readonly version: number;
  /** Whole numbers beyond ±(2^53 − 1) are bigints. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Tensors begin at multiples of this many bytes. */
  readonly alignment: number;
  /** Where the first tensor begins, in bytes from the start of the file. */
  readonly dataOffset: number;
}

export const ggufLimits = {
  tensors: 100_000,
  keys: 65_536,
  nameBytes: 63,
  axes: 4,
  alignment: 65_536,
} as const;

/**
 * Parses and checks what stands before the tensors' data.
 *
 * @param bytes - the first part of the file
 * @param fileSize - bytes in the whole file
 * @param fail - makes the error; gets a sentence that follows the file's name
 * @throws `needMore` when `bytes` ends before the header does
 */
export function parseGgufHeader(
  bytes: Uint8Array,
  fileSize: number,
  fail: (problem: string) => Error,
): GgufHeader {
  const cursor = new GgufCursor(bytes, fileSize, fail);
  const magic = cursor.u32("the magic number");
  if (magic !== 0x46554747) throw fail(`the file must begin with GGUF, got ${showMagic(magic)}`);
  const version = cursor.u32("the version");
  if (version !== 2 && version !== 3) {
    const swapped = (version & 0xffff) === 0 ? ", which is big-endian" : "";
    throw fail(`the version must be 2 or 3, got ${version}${swapped}`);
  }
  // An entry is at least name length 8, axes 4, type 4 and offset 8; a key length 8, type 4 and value 1.
  const tensorCount = cursor.count("the number of tensors", 24, ggufLimits.tensors);
  const keyCount = cursor.count("the number of metadata keys", 13, ggufLimits.keys);
  const metadata = readMetadata(cursor, keyCount, fail);
  const alignment = alignmentOf(metadata, fail);

  const entries: Entry[] = [];
  for (let i = 0; i < tensorCount; i++) entries.push(readEntry(cursor, i, fail));
  const dataOffset = padded(cursor.position, alignment);
  return {
    version,
    metadata,
    tensors: place(entries, dataOffset, alignment, fileSize, fail),
    alignment,
    dataOffset,
  };
}

interface Entry extends GgufTensor {
  /** `offset` as the file gives it, from `dataOffset`. */
  readonly stated: bigint;
}

function readEntry(cursor: GgufCursor, index: number, fail: (problem: string) => Error): Entry {
  const name = cursor.string(`the name of tensor ${index}`, ggufLimits.nameBytes);
  const problem = (text: string): Error => fail(`tensor ${quote(name)}: ${text}`);

  const axes = cursor.u32("the number of axes");
  if (axes > ggufLimits.axes) throw problem(`it must have at most ${ggufLimits.axes} axes, got ${axes}`);
  const shape: number[] = [];
  let values = 1;
  for (let axis = 0; axis < axes; axis++) {
    const size = cursor.u64("a tensor's shape");
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw problem(`its sizes must be below 2^53, got ${size}`);
    shape.unshift(Number(size));
    values *= Number(size);
    if (!Number.isSafeInteger(values))
      throw problem(`it must have fewer than 2^53 values, got [${shape.join(", ")}]`);
  }

  const id = cursor.u32("a tensor's type");
  const layout = ggufLayout(id);
  if (layout === undefined) throw problem(`its type must be one that GGUF defines, got ${id}`);
  const { type, blockSize, blockBytes } = layout;
  const row = shape.at(-1) ?? 1;
  if (row % blockSize !== 0)
    throw problem(`its rows must be a multiple of ${blockSize} values for ${type}, got ${row}`);
  const size = (values / blockSize) * blockBytes;
  if (!Number.isSafeInteger(size))
    throw problem(`it must have fewer than 2^53 bytes, got [${shape.join(", ")}] ${type}`);
  return { name, shape, type, offset: 0, size, stated: cursor.u64("a tensor's offset") };
}

/** Tensors must lie one after the other in the order of the header, each padded, all inside the file. */
function place(
  entries: readonly Entry[],
  dataOffset: number,
  alignment: number,
  fileSize: number,
  fail: (problem: string) => Error,
): ReadonlyMap<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  let running = 0;
  for (const { name, shape, type, size, stated } of entries) {
    if (tensors.has(name)) throw fail(`tensor ${quote(name)} must be there once, got it twice`);
    if (stated !== BigInt(running))
      throw fail(
        `tensor ${quote(name)}: its offset must be ${running}, where the one before it ends, got ${stated}`,
      );
    const offset = dataOffset + running;
    if (offset + size > fileSize) {
      throw fail(
        `tensor ${quote(name)} must end inside the file of ${fileSize} bytes, got ${offset + size}. Was the download cut off?`,
      );
    }
    tensors.set(name, { name, shape, type, offset, size });
    running += padded(size, alignment);
  }
  return tensors;
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, fail: (problem: string) => Error): number {
  const alignment = metadata.get("general.alignment") ?? 32;
  if (
    typeof alignment !== "number" ||
    !(alignment >= 1 && alignment <= ggufLimits.alignment) ||
    (alignment & (alignment - 1)) !== 0
  ) {
    throw fail(
      `general.alignment must be a power of two up to ${ggufLimits.alignment}, got ${String(alignment)}`,
    );
  }
  return alignment;
}

function padded(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment;
}

function showMagic(magic: number): string {
  return quote(String.fromCharCode(magic & 0xff, (magic >>> 8) & 0xff, (magic >>> 16) & 0xff, magic >>> 24));
}
