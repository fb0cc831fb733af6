export {
  adapterConfig,
  adapterTensors,
  type LoadAdapterOptions,
  loadAdapter,
  readAdapterConfig,
  type SaveOptions,
  saveAdapter,
} from "./adapter.ts";

export {
  type LoraConfig,
  type LoraInit,
  type LoraOptions,
  loraConfig,
  loraLimits,
  type ModulePredicate,
  type TaskType,
} from "./config.ts";
export { LoraError } from "./errors.ts";
export { type InjectOptions, type InjectReport, injectLora, trainableSummary } from "./inject.ts";
export { LoraAdapter, LoraLinear, type RequantizationError } from "./loraLinear.ts";
export {
  type MergeOptions,
  type MergeReport,
  mergeAndUnload,
  mergeLora,
  type RequantizedLayer,
  removeLora,
  unmergeLora,
} from "./merge.ts";
export { fromPeftConfig, type OnWarning, toPeftConfig } from "./peftConfig.ts";
export { activeAdapters, adapterNames, deleteAdapter, disableAdapters, setAdapter } from "./switch.ts";
export { adaptedLayers } from "./targets.ts";
export { addWeightedAdapter, type WeightedAdapterOptions } from "./weighted.ts";
