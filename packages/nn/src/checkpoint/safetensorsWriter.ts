import { CheckpointError } from "../errors.ts";
import { byteLengthOf, isSafetensorsDtype, rankOf, type SafetensorsDtype } from "./dtypes.ts";
import { limits, showShape } from "./safetensorsHeader.ts";
import { isWellFormed, quote } from "./strictJson.ts";

export interface SafetensorsTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Little-endian. */
  readonly bytes: Uint8Array;
}

/** A tensor whose bytes are asked for when their turn comes, so that a big model is never in memory twice. */
export interface LazyTensor extends Omit<SafetensorsTensor, "bytes"> {
  readonly bytes: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

export type Metadata = Readonly<Record<string, string>> | ReadonlyMap<string, string>;

/**
 * A safetensors file as the reference writes it: widest dtype first, then by name, header padded to 8 bytes.
 *
 * @throws CheckpointError when a name is there twice or a tensor's bytes do not fit its shape
 */
export function serializeSafetensors(
  tensors: Iterable<SafetensorsTensor>,
  metadata: Metadata = {},
): Uint8Array {
  const sorted = sortTensors(tensors);
  const header = headerBytes(sorted, metadata);
  const total = sorted.reduce((sum, tensor) => sum + tensor.length, header.length);
  const file = new Uint8Array(total);
  file.set(header);
  let at = header.length;
  for (const { tensor, length } of sorted) {
    checkBytes(tensor.name, length, tensor.bytes);
    file.set(tensor.bytes, at);
    at += length;
  }
  return file;
}

/**
 * The same file in pieces: the header, then tensor by tensor. What can be checked without the bytes is checked by the
 * call itself, before the first piece.
 */
export function safetensorsChunks(
  tensors: Iterable<LazyTensor>,
  metadata: Metadata = {},
): AsyncGenerator<Uint8Array> {
  const sorted = sortTensors(tensors);
  return chunks(headerBytes(sorted, metadata), sorted);
}

async function* chunks(header: Uint8Array, sorted: readonly Sized<LazyTensor>[]): AsyncGenerator<Uint8Array> {
  yield header;
  for (const { tensor, length } of sorted) {
    const bytes = typeof tensor.bytes === "function" ? await tensor.bytes() : tensor.bytes;
    checkBytes(tensor.name, length, bytes);
    yield bytes;
  }
}

interface Sized<T> {
  readonly tensor: T;
  readonly key: Uint8Array;
  readonly length: number;
}

const encoder = new TextEncoder();

function sortTensors<T extends LazyTensor>(tensors: Iterable<T>): Sized<T>[] {
  const names = new Set<string>();
  const sized: Sized<T>[] = [];
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    if (names.has(name)) throw problem(`tensor ${quote(name)} must be given once, got it twice`);
    if (
      name === "__metadata__" ||
      name === "__proto__" ||
      name.length > limits.nameLength ||
      !isWellFormed(name)
    ) {
      throw problem(
        `a tensor's name must be Unicode text of at most ${limits.nameLength} characters, got ${quote(name)}`,
      );
    }
    const length =
      isSafetensorsDtype(dtype) && shape.length <= limits.axes ? byteLengthOf(dtype, shape) : undefined;
    if (length === undefined)
      throw problem(
        `tensor ${quote(name)} must have a known dtype and shape, got ${dtype} ${showShape(shape)}`,
      );
    names.add(name);
    sized.push({ tensor, key: encoder.encode(name), length });
  }
  return sized.sort((a, b) => rankOf(b.tensor.dtype) - rankOf(a.tensor.dtype) || compareBytes(a.key, b.key));
}

function headerBytes(sorted: readonly Sized<LazyTensor>[], metadata: Metadata): Uint8Array {
  const fields: string[] = [];
  const entries = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  if (entries.length > 0) fields.push(`"__metadata__":{${entries.map(metadataField).join(",")}}`);
  let at = 0;
  for (const { tensor, length } of sorted) {
    const { name, dtype, shape } = tensor;
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${at},${at + length}]}`,
    );
    at += length;
  }
  const json = encoder.encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

function metadataField([key, text]: [string, unknown]): string {
  if (key === "__proto__" || typeof text !== "string" || !isWellFormed(key) || !isWellFormed(text)) {
    throw problem(`metadata ${quote(key)} must be Unicode text, got ${quote(String(text))}`);
  }
  return `${JSON.stringify(key)}:${JSON.stringify(text)}`;
}

function checkBytes(name: string, expected: number, bytes: Uint8Array): void {
  if (bytes.length !== expected)
    throw problem(`tensor ${quote(name)} must be ${expected} bytes, got ${bytes.length}`);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

function problem(text: string): CheckpointError {
  return new CheckpointError("serializeSafetensors", `${text}.`);
}
