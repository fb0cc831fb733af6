import type { WeightFormat } from "@graft/tensor";
import type { GgufFile } from "../checkpoint/gguf.ts";
import type { GgufValue } from "../checkpoint/ggufMetadata.ts";
import { ggufFormat } from "../checkpoint/ggufTypes.ts";
import { CheckpointError } from "../errors.ts";
import type { RopeScaling } from "../rotary.ts";
import type { LlamaConfig, LlamaType } from "./config.ts";
import { llamaConfigFromHf } from "./config.ts";
import { ggufTensors, ggufWeights, readBlocks, type WeightSource } from "./weights.ts";

/** GGUF's names for the architectures that `LlamaForCausalLM` covers. */
const architectures: ReadonlyMap<string, LlamaType> = new Map([
  ["llama", "llama"],
  ["qwen2", "qwen2"],
]);

/** The configuration in the metadata of a GGUF file. Architecture "llama" also holds Mistral and SmolLM2. */
export async function llamaConfigFromGguf(file: GgufFile): Promise<LlamaConfig> {
  const architecture = file.metadata.get("general.architecture");
  const modelType = typeof architecture === "string" ? architectures.get(architecture) : undefined;
  if (typeof architecture !== "string" || modelType === undefined)
    throw new CheckpointError(
      "config",
      `${file.name}: general.architecture must be one of ${[...architectures.keys()].join(", ")}, got ${kindOf(architecture)}.`,
    );
  const fail = (problem: string): Error => new CheckpointError("config", `${file.name}: ${problem}.`);
  const number = (key: string): number | undefined => {
    const name = `${architecture}.${key}`;
    const value = file.metadata.get(name);
    if (value === undefined) return undefined;
    if (typeof value !== "number" && typeof value !== "bigint")
      throw fail(`${name} must be a number, got ${kindOf(value)}`);
    return Number(value);
  };
  const needed = (key: string): number => {
    const value = number(key);
    if (value === undefined) throw fail(`${architecture}.${key} is missing`);
    return value;
  };
  const has = (name: string): boolean => file.tensors.has(name);
  const embedding = file.tensors.get("token_embd.weight");
  if (embedding === undefined) throw fail("token_embd.weight is missing");
  if ((number("expert_count") ?? 0) !== 0)
    throw fail(
      `${architecture}.expert_count must be 0, got ${number("expert_count")}: mixtures of experts are not supported`,
    );
  const rotated = number("rope.dimension_count");
  const headDim = number("attention.key_length") ?? rotated;
  if (rotated !== undefined && rotated !== headDim)
    throw fail(`${architecture}.rope.dimension_count must be ${headDim}, the size of a head, got ${rotated}`);
  const window = number("attention.sliding_window");
  const config = llamaConfigFromHf(
    {
      // Llama's architecture is also Mistral's: they differ by the window.
      model_type: modelType === "llama" && window !== undefined ? "mistral" : modelType,
      vocab_size: embedding.shape[0],
      hidden_size: needed("embedding_length"),
      intermediate_size: needed("feed_forward_length"),
      num_hidden_layers: needed("block_count"),
      num_attention_heads: needed("attention.head_count"),
      num_key_value_heads: number("attention.head_count_kv") ?? null,
      head_dim: headDim,
      rms_norm_eps: needed("attention.layer_norm_rms_epsilon"),
      rope_theta: number("rope.freq_base"),
      tie_word_embeddings: !has("output.weight"),
      attention_bias: has("blk.0.attn_q.bias"),
      mlp_bias: has("blk.0.ffn_up.bias"),
      sliding_window: window,
      use_sliding_window: window !== undefined,
      max_position_embeddings: number("context_length"),
      rope_scaling: ropeScaling(
        architecture,
        file,
        number("rope.scaling.factor") ?? number("rope.scale_linear"),
      ),
    },
    file.name,
  );
  const factors = await ropeFactors(file, config.headDim);
  return {
    ...config,
    qkvBias: config.qkvBias || has("blk.0.attn_q.bias"),
    outBias: has("blk.0.attn_output.bias"),
    ropeScaling: factors ?? config.ropeScaling,
  };
}

/** A metadata value for messages: texts are shown, of anything else the kind. */
function kindOf(value: GgufValue | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60));
  return typeof value === "object" ? "an array" : `a ${typeof value}`;
}

/** An old file has `rope.scale_linear` alone. */
function ropeScaling(
  architecture: string,
  file: GgufFile,
  factor: number | undefined,
): Record<string, unknown> | undefined {
  const type = file.metadata.get(`${architecture}.rope.scaling.type`);
  if (type === "none" || (type === undefined && (factor === undefined || factor === 1))) return undefined;
  if (type === undefined) return { rope_type: "linear", factor };
  if (type === "linear") return { rope_type: "linear", factor };
  throw new CheckpointError(
    "config",
    `${file.name}: rope.scaling.type must be none or linear, got ${kindOf(type)}.`,
  );
}

async function ropeFactors(file: GgufFile, headDim: number): Promise<RopeScaling | undefined> {
  const tensor = file.tensors.get("rope_freqs.weight");
  if (tensor === undefined) return undefined;
  if (tensor.type !== "F32" || tensor.shape.length !== 1 || tensor.shape[0] !== headDim / 2) {
    throw new CheckpointError(
      "config",
      `${file.name}: rope_freqs.weight must be F32 [${headDim / 2}], got ${tensor.type} [${tensor.shape.join(", ")}].`,
    );
  }
  const bytes = await file.readBytes(tensor.name);
  const factors = [...new Float32Array(new Uint8Array(bytes).buffer)];
  if (!factors.every((factor) => Number.isFinite(factor) && factor > 0))
    throw new CheckpointError("config", `${file.name}: rope_freqs.weight must hold positive numbers.`);
  return { type: "factors", factors };
}

const parts: ReadonlyMap<string, string> = new Map([
  ["attn_norm", "input_layernorm"],
  ["attn_q", "self_attn.q_proj"],
  ["attn_k", "self_attn.k_proj"],
  ["attn_v", "self_attn.v_proj"],
  ["attn_output", "self_attn.o_proj"],
  ["ffn_norm", "post_attention_layernorm"],
  ["ffn_gate", "mlp.gate_proj"],
  ["ffn_up", "mlp.up_proj"],
  ["ffn_down", "mlp.down_proj"],
]);

const whole: ReadonlyMap<string, string | undefined> = new Map([
  ["token_embd.weight", "model.embed_tokens.weight"],
  ["output_norm.weight", "model.norm.weight"],
  ["output.weight", "lm_head.weight"],
  ["rope_freqs.weight", undefined],
]);

/** Hugging Face's name of a tensor of a GGUF file; itself where it is unknown, undefined where it is no weight. */
export function ggufToHfName(name: string): string | undefined {
  if (whole.has(name)) return whole.get(name);
  const [blk, index, part, kind, ...rest] = name.split(".");
  const own = parts.get(part ?? "");
  if (blk !== "blk" || own === undefined || kind === undefined || rest.length > 0) return name;
  return `model.layers.${index}.${own}.${kind}`;
}

/** The weights of a GGUF file of a Llama-type model, by Hugging Face's names and in its order of rows. */
export function llamaGgufWeights(file: GgufFile, config: LlamaConfig): WeightSource {
  return ggufWeights(file, { rename: ggufToHfName, restore: rowsRestorer(file, config) });
}

/** The packed weights of a GGUF file, read as blocks. */
export interface LlamaGgufBlocks {
  /** The format of a weight by Hugging Face's name, for example q4_0; undefined where there is no such weight. */
  formatOf(name: string): WeightFormat | undefined;
  /** Its blocks, checked, rows in Hugging Face's order. They may be a view of the file: do not change them. */
  read(name: string): Promise<Uint8Array>;
}

/** The same weights without widening them: whole rows of blocks change places where llama.cpp has another order. */
export function llamaGgufBlocks(file: GgufFile, config: LlamaConfig): LlamaGgufBlocks {
  const tensors = ggufTensors(file, ggufToHfName);
  const restore = rowsRestorer(file, config);
  return {
    formatOf(name) {
      const tensor = tensors.get(name);
      return tensor && ggufFormat(tensor.type);
    },
    async read(name) {
      const { bytes, shape } = await readBlocks(file, tensors.get(name));
      return restore(name, bytes, shape);
    },
  };
}

/** What a typed array of values or of bytes can do. */
interface Rows<T> {
  readonly length: number;
  slice(): T;
  subarray(start: number, end: number): T;
  set(values: T, at: number): void;
}

/** Puts rows that llama.cpp's converter moved back where transformers has them: of queries and keys, only for "llama". */
function rowsRestorer(
  file: GgufFile,
  config: LlamaConfig,
): <T extends Rows<T>>(name: string, values: T, shape: readonly number[]) => T {
  const permuted = file.metadata.get("general.architecture") === "llama";
  return (name, values, shape) => {
    if (!permuted) return values;
    if (name.includes(".q_proj.")) return unpermuteRows(values, shape, config.numAttentionHeads);
    if (name.includes(".k_proj.")) return unpermuteRows(values, shape, config.numKeyValueHeads);
    return values;
  };
}

/**
 * llama.cpp stores the rows of each query and key head interleaved (0, d/2, 1, d/2 + 1, …), since it rotates
 * neighbours; transformers rotates halves. This puts the rows back, be they values or whole blocks.
 */
export function unpermuteRows<T extends Rows<T>>(values: T, shape: readonly number[], heads: number): T {
  const rows = shape[0];
  const width = values.length / rows;
  const headDim = rows / heads;
  const half = headDim / 2;
  const result = values.slice();
  for (let row = 0; row < rows; row++) {
    const head = Math.floor(row / headDim);
    const within = row % headDim;
    const source = head * headDim + (within < half ? 2 * within : 2 * (within - half) + 1);
    result.set(values.subarray(source * width, (source + 1) * width), row * width);
  }
  return result;
}
