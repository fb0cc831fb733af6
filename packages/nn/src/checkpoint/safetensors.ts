import { CheckpointError } from "../errors.ts";
import { type ByteSource, readExactly } from "./byteSource.ts";
import { limits, parseHeader, type SafetensorsEntry } from "./safetensorsHeader.ts";
import { quote } from "./strictJson.ts";

/** Named tensors in one file or several: what `openSafetensors` and `openCheckpoint` give. */
export interface SafetensorsFile {
  readonly name: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;

  /**
   * The bytes of one tensor, little-endian, at an address that is a multiple of 8, so any typed array can view them.
   * They may be a view of the source: do not change them.
   *
   * @throws CheckpointError when there is no such tensor
   */
  readBytes(name: string): Promise<Uint8Array>;

  close(): Promise<void>;
}

/**
 * Reads and checks the header of a safetensors file, as strictly as the reference and also against duplicate keys,
 * numbers above 2^53 and unknown fields; the tensors stay where they are.
 *
 * @throws CheckpointError, and then leaves closing the source to the caller
 * @see https://github.com/huggingface/safetensors#format
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const fail = (problem: string): Error =>
    new CheckpointError("openSafetensors", `${source.name}: ${problem}.`);
  if (source.size < 8) throw fail(`the file must be at least 8 bytes long, got ${source.size}`);

  const prefix = await readExactly(source, 0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(limits.headerBytes)) {
    throw fail(`the header must be at most ${limits.headerBytes} bytes long, got ${length}`);
  }
  const dataStart = 8 + Number(length);
  if (dataStart > source.size)
    throw fail(`the header must end inside the file of ${source.size} bytes, got ${dataStart}`);

  const { metadata, tensors } = parseHeader(
    await readExactly(source, 8, Number(length)),
    source.size - dataStart,
    fail,
  );
  return {
    name: source.name,
    metadata,
    tensors,

    async readBytes(name) {
      const entry = tensors.get(name);
      if (entry === undefined)
        throw new CheckpointError("readBytes", `tensor ${quote(name)} is not in ${source.name}.`);
      return aligned(await readExactly(source, dataStart + entry.begin, entry.end - entry.begin));
    },

    async close() {
      await source.close?.();
    },
  };
}

function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
}
