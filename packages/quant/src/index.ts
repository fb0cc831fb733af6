export {
  type Bnb4bitState,
  type Bnb4bitWeight,
  bnb4bitNames,
  bnb4bitTensors,
  readBnb4bit,
  readBnb4bitState,
} from "./bnb4bit.ts";
export { bnb8bitNames, bnb8bitTensors, readBnb8bit } from "./bnb8bit.ts";
export type { FloatName } from "./bnbQuantState.ts";
export type { CodebookOptions, CodebookPacked } from "./codebook.ts";
export { dequantize, schemeNamed } from "./dequantize.ts";
export { deviceFormOf, packedOf } from "./deviceForm.ts";
export { dynamicMap, type NestedAbsmax } from "./doubleQuant.ts";
export {
  type LoadQuantizedOptions,
  loadQuantizedFromGguf,
  loadQuantizedFromHf,
  withoutQuantization,
} from "./files/load.ts";
export {
  findPacked,
  openPackedFile,
  ownerOf,
  type PackedFile,
  type PackedWeight,
} from "./files/packedFile.ts";
export {
  type QuantizationConfig,
  readQuantizationConfig,
  writeQuantizationConfig,
} from "./files/quantizationConfig.ts";
export {
  type FileScheme,
  fileSchemes,
  type QuantizedFiles,
  type QuantizeFileOptions,
  quantizeFiles,
} from "./files/quantizeFile.ts";
export type { GgufPacked } from "./ggufBlocks.ts";
export { type PrepareOptions, type PrepareReport, prepareForKbitTraining } from "./kbit.ts";
export { int8Activations, outlierThreshold } from "./llmInt8.ts";
export { type OwnedMatrix, ownedMatrix, packTensor, readMatrix } from "./matrix.ts";
export { type NibbleOrder, packNibbles, unpackNibbles } from "./pack.ts";
export { type QuantizeOptions, quantize } from "./quantize.ts";
export { QuantizedEmbedding } from "./quantizedEmbedding.ts";
export { QuantizedLinear, type QuantizedLinearOptions } from "./quantizedLinear.ts";
export {
  type EmbeddingStorage,
  type QuantizedLayer,
  type QuantizeModelOptions,
  type QuantizeReport,
  quantizeModel,
} from "./quantizeModel.ts";
export {
  bitsPerWeight,
  type DeviceForm,
  type Packed,
  type Rounding,
  type Scheme,
  type SchemeOptions,
} from "./scheme.ts";
export * as schemes from "./schemes/index.ts";
export type { Int4Options, Int4Packed } from "./schemes/int4.ts";
export type { Int4AsymmetricPacked } from "./schemes/int4Asymmetric.ts";
export type { Int8Packed } from "./schemes/int8.ts";
