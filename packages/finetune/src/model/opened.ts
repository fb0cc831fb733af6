import type { CausalLM, ModelConfig, WeightDtype, WeightSource } from "@graft/nn";
import type { FileContent } from "@graft/nn/node";
import type { QuantizeOptions } from "@graft/quant";
import type { Device } from "@graft/tensor";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export interface LoadModelOptions {
  /** Called after each tensor. */
  readonly onTensor?: (done: number, total: number) => void;
  /**
   * What the linear layers are made from. "stored": what is packed stays packed; "floats": everything is widened to f32;
   * or a scheme in which weights that are not packed in the folder are quantized while they are read. Default: "stored" of
   * a folder, "floats" of a GGUF file.
   */
  readonly weights?: "stored" | "floats" | QuantizeOptions;
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
  readonly config: ModelConfig;
  /** Tokens that the model knows. */
  readonly vocabSize: number;
  /** The dtype of most of the stored weights; of a packed folder that of its configuration; f16 for a GGUF file. */
  readonly baseDtype: WeightDtype;
  /** The scheme of a folder's packed weights; undefined for floats and for a GGUF file. */
  readonly packed: string | undefined;
  /** The weights by Hugging Face's names, read as floats one by one. */
  readonly weights: WeightSource;
  /** The weights on a device: f32, but for what is packed and the embedding beside it, which keeps its 16 bits. */
  load(device: Device, options?: LoadModelOptions): Promise<CausalLM>;
  /** Read once, when first asked for. */
  tokenizer(): Promise<Tokenizer>;
  /** The files that belong beside the weights in a folder: tokenizer, chat template, ends of text. By name. */
  companionFiles(): Promise<ReadonlyMap<string, FileContent>>;
  /** What to write as `config.json` for a model in floats of that dtype. */
  configJson(dtype: WeightDtype): Record<string, unknown>;
  close(): Promise<void>;
}

/** PyTorch's name of a dtype, as configurations have it. */
export const torchName = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;
