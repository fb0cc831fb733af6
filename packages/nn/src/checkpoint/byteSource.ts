import { CheckpointError } from "../errors.ts";

/** Where the bytes of a checkpoint come from: memory, a Blob, the network, or (`@graft/nn/node`) a file. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number;
  /** For messages, for example the file name. */
  readonly name: string;

  /**
   * @param offset - first byte, `offset + length` at most `size`
   * @returns `length` bytes. They may be a view of the source: do not change them.
   */
  read(offset: number, length: number): Promise<Uint8Array>;

  close?(): Promise<void>;
}

/** Bytes that are in memory already; reading gives views, not copies. */
export function bytesSource(data: Uint8Array | ArrayBuffer, name = "bytes"): ByteSource {
  // Node's Buffer is a Uint8Array whose slice() does not copy, so it is not handed on.
  const bytes =
    data instanceof Uint8Array
      ? new Uint8Array(data.buffer, data.byteOffset, data.length)
      : new Uint8Array(data);
  return {
    size: bytes.length,
    name,
    async read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A Blob, or a File that the user picked in a page; only what is read is brought into memory. */
export function blobSource(
  blob: Blob,
  name = "name" in blob && typeof blob.name === "string" ? blob.name : "blob",
): ByteSource {
  return {
    size: blob.size,
    name,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      const bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      return checkLength(name, offset, length, bytes);
    },
  };
}

/**
 * Reads and insists on every byte.
 *
 * @throws CheckpointError when the source gives fewer or more, for example because the file changed meanwhile
 */
export async function readExactly(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  checkRange(source.name, source.size, offset, length);
  return checkLength(source.name, offset, length, await source.read(offset, length));
}

export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    length > size - offset
  ) {
    throw new CheckpointError(
      "read",
      `bytes ${offset} to ${offset + length} must lie inside ${name}, which has ${size}.`,
    );
  }
}

export function checkLength(name: string, offset: number, length: number, bytes: Uint8Array): Uint8Array {
  if (bytes.length !== length) {
    throw new CheckpointError(
      "read",
      `${name} must give ${length} bytes at ${offset}, got ${bytes.length}. Did the file change while it was read?`,
    );
  }
  return bytes;
}
