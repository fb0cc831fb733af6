export { toolHelp, verbHelp } from "./args/help.ts";
export type {
  BenchOptions,
  Command,
  CommonOptions,
  DoctorOptions,
  EvalOptions,
  FinetuneOptions,
  FinetuneSource,
  GenerateOptions,
  InfoOptions,
  MergeOptions,
  Trained,
} from "./args/options.ts";
export { parseCommand } from "./args/parse.ts";
export { type ChatTemplate, createChatTemplate, type Message, type TokenizedChat } from "./chat.ts";
export {
  type Batch,
  makeBatch,
  rowOrder,
  type StepBatches,
  stepsForEpochs,
  trainingBatches,
} from "./dataset/batching.ts";
export { type Dataset, datasetNotices, type Example, IGNORED } from "./dataset/example.ts";
export { type DataOptions, readData } from "./dataset/read.ts";
export { embeddedModel } from "./demo.ts";
export { type OpenedDevice, openDevice } from "./device.ts";
export { GraftError, UsageError } from "./errors.ts";
export { type Generated, type GenerateOptions as GenerationOptions, generate } from "./generate.ts";
export { type InjectOptions, type OpenedAdapter, openAdapter } from "./model/adapter.ts";
export { describeFile, type FileDescription, type TensorDescription } from "./model/describe.ts";
export { openModel } from "./model/open.ts";
export type { LoadModelOptions, OpenedModel, OpenModelOptions } from "./model/opened.ts";
export { modelFiles } from "./model/write.ts";
export { createOutput, jsonLine, type Output, type Sink } from "./output.ts";
export { Progress, type ProgressState } from "./progress.ts";
export { createRandom, type Random } from "./random.ts";
export { type RunContext, run } from "./run.ts";
export { createSampler, type Sampler, type SamplingOptions } from "./sampling.ts";
export { checkTokens } from "./tokenizer/check.ts";
export { loadTokenizer, type TokenizerFallback } from "./tokenizer/folder.ts";
export { type GgufMetadata, ggufTokenizerFallback, tokenizerFromGguf } from "./tokenizer/gguf.ts";
export { createTextStream, type TextStream } from "./tokenizer/stream.ts";
export { createTokenizer, type Tokenizer, type TokenizerSetup } from "./tokenizer/tokenizer.ts";
export {
  type Resumed,
  type ResumeOptions,
  type TrainingParts,
  TrainingSnapshot,
  trainResumably,
} from "./train/resume.ts";
