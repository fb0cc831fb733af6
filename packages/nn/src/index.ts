export { Attention, type AttentionContext, type AttentionOptions } from "./attention.ts";
export { Conv1D, type Conv1DOptions } from "./conv1D.ts";
export { Dropout } from "./dropout.ts";
export { Embedding } from "./embedding.ts";
export { CheckpointError } from "./errors.ts";
export {
  type ActivationName,
  activations,
  FeedForward,
  type FeedForwardOptions,
  GatedFeedForward,
} from "./feedForward.ts";
export { KvCache } from "./kvCache.ts";
export { isLinearLike, type LayerOptions, type LinearFactory, type LinearLike } from "./layer.ts";
export { LayerNorm } from "./layerNorm.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export type { CausalLM, CausalLMConfig } from "./models/causalLM.ts";
export { type LlamaConfig, llamaConfigFromHf, llamaConfigToHf, llamaShapes } from "./models/config.ts";
export { type ModelConfig, type ModelOf, modelConfigFromHf } from "./models/families.ts";
export { GPT2LMHeadModel, GPT2Model } from "./models/gpt2.ts";
export { type GPT2Config, gpt2ConfigFromHf, gpt2ConfigToHf, gpt2Shapes } from "./models/gpt2Config.ts";
export { LlamaForCausalLM, LlamaModel, type LlamaOptions } from "./models/llama.ts";
export {
  ggufToHfName,
  type LlamaGgufBlocks,
  llamaConfigFromGguf,
  llamaGgufBlocks,
  llamaGgufWeights,
} from "./models/llamaGguf.ts";
export {
  type LinearSlot,
  type LoadOptions,
  loadCausalLM,
  loadFromGguf,
  loadFromHf,
  type ModelWeights,
  modelWeights,
  transposed,
} from "./models/load.ts";
export { safetensorsWeights, type WeightEntry, type WeightSource } from "./models/weights.ts";
export { modelTensors, type WeightDtype, weightBits } from "./modelTensors.ts";
export { Module } from "./module.ts";
export { AdamW, type AdamWOptions } from "./optim/adamW.ts";
export { clipFactor, clipGradNorm, gradNorm } from "./optim/clipGradNorm.ts";
export {
  type Group,
  type NamedParameters,
  Optimizer,
  type OptimizerState,
  type ParameterGroup,
  type StepOptions,
} from "./optim/optimizer.ts";
export { type ScheduleName, type ScheduleOptions, schedule, scheduleNames } from "./optim/schedule.ts";
export { SGD, type SgdOptions } from "./optim/sgd.ts";
export { FrozenParameter, Parameter } from "./parameter.ts";
export { RMSNorm } from "./rmsNorm.ts";
export { inverseFrequencies, type RopeScaling, Rotary, type RotaryOptions } from "./rotary.ts";
export { Sequential, type TensorModule } from "./sequential.ts";
export { TransformerBlock } from "./transformerBlock.ts";
