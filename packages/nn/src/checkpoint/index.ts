export { CheckpointError } from "../errors.ts";

export { type ByteSource, blobSource, bytesSource } from "./byteSource.ts";
export { byteLengthOf, isSafetensorsDtype, type SafetensorsDtype } from "./dtypes.ts";
export { type FetchSourceOptions, fetchSource } from "./fetchSource.ts";
export { type GgufFile, openGguf } from "./gguf.ts";
export type { GgufHeader, GgufTensor } from "./ggufHeader.ts";
export type { GgufArray, GgufScalar, GgufValue } from "./ggufMetadata.ts";
export { type GgufType, readableGgufTypes } from "./ggufTypes.ts";
export { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
export type { SafetensorsEntry } from "./safetensorsHeader.ts";
export {
  type LazyTensor,
  type Metadata,
  type SafetensorsTensor,
  safetensorsChunks,
  serializeSafetensors,
} from "./safetensorsWriter.ts";
export { isPlainName, type Opener, openCheckpoint, refusePickle } from "./sharded.ts";
export { integerOf, type Json, JsonNumber, parseStrictJson, quote, show as showJson } from "./strictJson.ts";
