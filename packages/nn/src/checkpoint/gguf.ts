import { CheckpointError } from "../errors.ts";
import { type ByteSource, readExactly } from "./byteSource.ts";
import { needMore } from "./ggufCursor.ts";
import { type GgufHeader, parseGgufHeader } from "./ggufHeader.ts";
import { readableGgufTypes } from "./ggufTypes.ts";
import { quote } from "./strictJson.ts";

export interface GgufFile extends GgufHeader {
  readonly name: string;

  /**
   * The bytes of one tensor, in blocks of its type. They may be a view of the source: do not change them. Block scales
   * are not looked at here: call `validate` of the weight format before use.
   *
   * @throws CheckpointError when there is no such tensor or its type cannot be decoded
   */
  readBytes(name: string): Promise<Uint8Array>;

  close(): Promise<void>;
}

const firstBytes = 256 * 1024;
const maxHeaderBytes = 128 * 1024 * 1024;

/**
 * Reads and checks the header of a GGUF file, version 2 or 3; the tensors stay where they are. The header is read in
 * growing pieces (256 KiB, then four times as much each), because it does not say how long it is.
 *
 * @throws CheckpointError, and then leaves closing the source to the caller
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const fail = (problem: string): Error =>
    new CheckpointError("openGguf", `${source.name}: ${problem}${problem.endsWith("?") ? "" : "."}`);
  const header = await readHeader(source, fail);
  return {
    ...header,
    name: source.name,

    async readBytes(name) {
      const tensor = header.tensors.get(name);
      if (tensor === undefined)
        throw new CheckpointError("readBytes", `tensor ${quote(name)} is not in ${source.name}.`);
      if (!readableGgufTypes.includes(tensor.type)) {
        const known = `${readableGgufTypes.slice(0, -1).join(", ")} or ${readableGgufTypes.at(-1)}`;
        throw new CheckpointError(
          "readBytes",
          `tensor ${quote(name)} must be ${known}, got ${tensor.type}. Take a Q4_0, Q8_0 or F16 file of this model.`,
        );
      }
      return readExactly(source, tensor.offset, tensor.size);
    },

    async close() {
      await source.close?.();
    },
  };
}

async function readHeader(source: ByteSource, fail: (problem: string) => Error): Promise<GgufHeader> {
  let bytes = await readExactly(source, 0, Math.min(source.size, firstBytes));
  for (;;) {
    try {
      return parseGgufHeader(bytes, source.size, fail);
    } catch (error) {
      if (error !== needMore) throw error;
    }
    if (bytes.length >= maxHeaderBytes)
      throw fail(`the header must be at most ${maxHeaderBytes} bytes long, got more`);
    const grown = new Uint8Array(Math.min(source.size, bytes.length * 4));
    grown.set(bytes);
    grown.set(await readExactly(source, bytes.length, grown.length - bytes.length), bytes.length);
    bytes = grown;
  }
}
