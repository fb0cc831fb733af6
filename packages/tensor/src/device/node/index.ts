export type { AdapterOptions, AdapterSearch, FoundAdapter, Refusal } from "./adapters.ts";
export { findAdapter, searchAdapters } from "./adapters.ts";

export type { GpuGlobals } from "./gpu.ts";
export { gpuGlobals, openGpu } from "./gpu.ts";

export { type NodeGpuOptions, openFound, openWebGpu } from "./open.ts";
export { settle } from "./settle.ts";
