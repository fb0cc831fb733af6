export { checkpoint } from "./autograd/checkpoint.ts";
export { enableGrad, isGradEnabled, noGrad } from "./autograd/gradMode.ts";
export { type BackwardOptions, grad } from "./autograd/tape.ts";

export { type Compiled, type CompileOptions, compile } from "./compile/compile.ts";
export { changesNothing, everyStep } from "./compile/live.ts";
export type { PlanReport } from "./compile/program.ts";
export { structureChanged } from "./compile/structure.ts";
export {
  arange,
  eye,
  fromArray,
  fromBits,
  full,
  type Nested,
  ones,
  type TensorOptions,
  tensor,
  zeros,
} from "./create.ts";
export { type CpuOptions, openCpu } from "./device/cpu/cpuDevice.ts";
export type { Counters, Device, MemoryInfo } from "./device/device.ts";
export type { GpuDevice, GpuOptions } from "./device/webgpu/gpuDevice.ts";
export { openWebGpu } from "./device/webgpu/open.ts";
export { bytesPer, type DType, isFloat, type TypedArray } from "./dtype.ts";
export {
  CompileError,
  DeviceError,
  DeviceLostError,
  DTypeError,
  GradError,
  OutOfMemoryError,
  ShapeError,
  ValueError,
} from "./errors.ts";
export { bytesFor, type WeightFormat } from "./formats/format.ts";
export { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./formats/half.ts";
export * from "./formats/index.ts";
export { dynamicMap, nestedBlockSize } from "./formats/packed/dynamicMap.ts";
export { fp4 as fp4Format } from "./formats/packed/fp4.ts";
export { packedFormats } from "./formats/packed/index.ts";
export { nf4 as nf4Format } from "./formats/packed/nf4.ts";
export {
  bytesOfWords,
  type PackedFormat,
  type PackedLayout,
  type PackedPart,
  packedLayout,
  wordsOfBytes,
} from "./formats/packed/packed.ts";
export * from "./ops/index.ts";
export type { TileChoice, TileClass, TileRecord } from "./ops/matmul/record.ts";
export { type TuneOptions, tuneTiles } from "./ops/matmul/tune.ts";
export { Profile, type ProfileOptions, profile, type Timing } from "./profile/profile.ts";
export type { ProfileRow, Roofline } from "./profile/record.ts";
export type { TraceEvent, TraceFile } from "./profile/trace.ts";
export { foldIn, Generator, type Key, keyOf } from "./random/index.ts";
export { keep, openScope, type Scope, scope } from "./scope.ts";
export { type Shape, show, sizeOf } from "./shape.ts";
export { Tensor } from "./tensor.ts";
