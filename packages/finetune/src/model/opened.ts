import type { LlamaConfig, LlamaForCausalLM, WeightDtype } from "@graft/nn";
import type { FileContent } from "@graft/nn/node";
import type { Device } from "@graft/tensor";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export interface LoadModelOptions {
  /** Called after each tensor. */
  readonly onTensor?: (done: number, total: number) => void;
}

export interface OpenModelOptions {
  /** A `tokenizer.json` to use instead of the model's own. */
  readonly tokenizer?: string;
}

/** A model whose configuration was read and checked; its weights and tokenizer are read when they are asked for. */
export interface OpenedModel extends AsyncDisposable {
  /** As it was given. */
  readonly path: string;
  readonly kind: "folder" | "gguf";
  readonly config: LlamaConfig;
  /** Tokens that the model knows. */
  readonly vocabSize: number;
  /** The dtype of most of the stored weights; f16 for a GGUF file. */
  readonly baseDtype: WeightDtype;
  /** The weights on a device, in f32. */
  load(device: Device, options?: LoadModelOptions): Promise<LlamaForCausalLM>;
  /** Read once, when first asked for. */
  tokenizer(): Promise<Tokenizer>;
  /** The files that belong beside the weights in a folder: tokenizer, chat template, ends of text. By name. */
  companionFiles(): Promise<ReadonlyMap<string, FileContent>>;
  /** What to write as `config.json` for weights of that dtype. */
  configJson(dtype: WeightDtype): Record<string, unknown>;
  close(): Promise<void>;
}

/** PyTorch's name of a dtype, as configurations have it. */
export const torchName = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;
