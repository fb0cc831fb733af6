import * as v from "valibot";
import { CheckpointError } from "../errors.ts";
import { type ActivationName, isActivationName } from "../feedForward.ts";
import type { RopeScaling } from "../rotary.ts";
import type { CausalLMConfig } from "./causalLM.ts";
import { checkModelType, configError, parseConfig, positive, size } from "./configSchema.ts";

/** What a Llama-type model is made of, whichever file said so. */
export interface LlamaConfig extends CausalLMConfig {
  readonly modelType: LlamaType;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | undefined;
  readonly hiddenAct: ActivationName;
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  /** Each position sees at most so many positions, itself included. */
  readonly slidingWindow: number | undefined;
}

export const llamaTypes = ["llama", "mistral", "qwen2"] as const;
export type LlamaType = (typeof llamaTypes)[number];

/** transformers' defaults for keys that a file leaves out. */
const kvHeadsOf = { llama: undefined, mistral: 8, qwen2: 32 } as const satisfies Record<LlamaType, unknown>;
const mistralWindow = 4096;

const ropeSchema = v.looseObject({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: v.nullish(positive),
  factor: v.nullish(positive),
  partial_rotary_factor: v.nullish(positive),
  low_freq_factor: v.nullish(positive),
  high_freq_factor: v.nullish(positive),
  original_max_position_embeddings: v.nullish(size(1 << 30)),
});

const schema = v.looseObject({
  model_type: v.picklist(llamaTypes),
  vocab_size: size(1 << 22),
  hidden_size: size(1 << 17),
  intermediate_size: size(1 << 20),
  num_hidden_layers: size(1024),
  num_attention_heads: size(4096),
  num_key_value_heads: v.nullish(size(4096)),
  head_dim: v.nullish(size(4096)),
  rms_norm_eps: v.nullish(v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(1)), 1e-6),
  rope_theta: v.nullish(positive),
  partial_rotary_factor: v.nullish(positive),
  rope_scaling: v.nullish(ropeSchema),
  rope_parameters: v.nullish(ropeSchema),
  hidden_act: v.nullish(v.string(), "silu"),
  tie_word_embeddings: v.nullish(v.boolean(), false),
  attention_bias: v.nullish(v.boolean(), false),
  mlp_bias: v.nullish(v.boolean(), false),
  sliding_window: v.nullish(size(1 << 30)),
  use_sliding_window: v.nullish(v.boolean(), false),
  max_position_embeddings: v.nullish(size(1 << 30), 2048),
});

/**
 * Reads the parsed `config.json` of a Llama, Mistral or Qwen2 model, in the spelling of transformers 4 and 5.
 * Whatever would change the model's results and is not supported is refused by name; all problems are told at once.
 * `attention_dropout` is not read: transformers drops attention weights in training only, and here it is never done, so
 * that a model that was pre-trained with it still loads. LoRA's dropout is an option of the adapter.
 * @param name - the file's name, for messages
 */
export function llamaConfigFromHf(json: unknown, name = "config.json"): LlamaConfig {
  checkModelType(json, llamaTypes, name);
  const c = parseConfig(schema, json, name);
  const problems: string[] = [];
  if (c.rope_parameters != null && c.rope_scaling != null)
    problems.push("rope_parameters and rope_scaling must not both be there");
  if (Reflect.get(Object(json), "quantization_config") != null)
    problems.push(
      "quantization_config is for packed weights: load them with loadQuantizedFromHf of @graft/quant",
    );
  if (!isActivationName(c.hidden_act))
    problems.push(
      `hidden_act must be silu, relu, gelu, gelu_new or gelu_pytorch_tanh, got "${c.hidden_act.slice(0, 40)}"`,
    );
  const heads = c.num_attention_heads;
  // Where the key is missing, the class's default; where it is null, as many as heads.
  const kvHeads =
    (c.num_key_value_heads === undefined ? kvHeadsOf[c.model_type] : undefined) ??
    c.num_key_value_heads ??
    heads;
  if (heads % kvHeads !== 0)
    problems.push(`num_attention_heads (${heads}) must be a multiple of num_key_value_heads (${kvHeads})`);
  if (c.head_dim == null && c.hidden_size % heads !== 0)
    problems.push(
      `hidden_size (${c.hidden_size}) must be a multiple of num_attention_heads (${heads}) where head_dim is not given`,
    );
  const headDim = c.head_dim ?? c.hidden_size / heads;
  if (headDim % 2 !== 0) problems.push(`head_dim must be even, got ${headDim}`);
  if (c.model_type === "qwen2" && c.use_sliding_window)
    problems.push("use_sliding_window is not supported for qwen2");
  const rope = c.rope_parameters ?? c.rope_scaling ?? undefined;
  const rotated = rope?.partial_rotary_factor ?? c.partial_rotary_factor ?? 1;
  if (rotated !== 1) problems.push(`partial_rotary_factor must be 1, got ${rotated}`);
  const scaling = ropeScaling(rope, problems);
  if (problems.length > 0) throw configError(name, problems);
  const qwen = c.model_type === "qwen2";
  const llama = c.model_type === "llama";
  return {
    modelType: c.model_type,
    vocabSize: c.vocab_size,
    hiddenSize: c.hidden_size,
    intermediateSize: c.intermediate_size,
    numHiddenLayers: c.num_hidden_layers,
    numAttentionHeads: heads,
    numKeyValueHeads: kvHeads,
    headDim,
    rmsNormEps: c.rms_norm_eps,
    ropeTheta: rope?.rope_theta ?? c.rope_theta ?? 10_000,
    ropeScaling: scaling,
    hiddenAct: isActivationName(c.hidden_act) ? c.hidden_act : "silu",
    tieWordEmbeddings: c.tie_word_embeddings,
    qkvBias: qwen || (llama && c.attention_bias),
    outBias: llama && c.attention_bias,
    mlpBias: llama && c.mlp_bias,
    slidingWindow:
      c.model_type !== "mistral" || c.sliding_window === null
        ? undefined
        : (c.sliding_window ?? mistralWindow),
    maxPositionEmbeddings: c.max_position_embeddings,
  };
}

function ropeScaling(
  rope: v.InferOutput<typeof ropeSchema> | undefined,
  problems: string[],
): RopeScaling | undefined {
  const type = rope?.rope_type ?? rope?.type ?? "default";
  if (rope === undefined || type === "default") return undefined;
  if (type === "linear") {
    if (rope.factor == null) problems.push("rope factor is missing for rope type linear");
    return { type, factor: rope.factor ?? 1 };
  }
  if (type === "llama3") {
    const {
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: original,
    } = rope;
    if (factor == null || low == null || high == null || original == null) {
      problems.push(
        "rope type llama3 needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings",
      );
      return undefined;
    }
    if (low >= high) problems.push(`low_freq_factor (${low}) must be below high_freq_factor (${high})`);
    return {
      type,
      factor,
      lowFreqFactor: low,
      highFreqFactor: high,
      originalMaxPositionEmbeddings: original,
    };
  }
  problems.push(`rope type must be default, linear or llama3, got "${type.slice(0, 40)}"`);
  return undefined;
}

/** The `config.json` that transformers reads for a model, for folders that Graft writes from a GGUF file. */
export function llamaConfigToHf(
  config: LlamaConfig,
  dtype: "float32" | "float16" | "bfloat16",
  extra: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const architecture = {
    llama: "LlamaForCausalLM",
    mistral: "MistralForCausalLM",
    qwen2: "Qwen2ForCausalLM",
  }[config.modelType];
  const scaling = config.ropeScaling;
  if (scaling?.type === "factors")
    throw new CheckpointError(
      "config",
      "rope_freqs of a GGUF file cannot be written into a config.json. Use the model's Hugging Face folder instead.",
    );
  const rope = {
    rope_theta: config.ropeTheta,
    rope_type: scaling?.type ?? "default",
    ...(scaling === undefined ? {} : { factor: scaling.factor }),
    ...(scaling?.type === "llama3"
      ? {
          low_freq_factor: scaling.lowFreqFactor,
          high_freq_factor: scaling.highFreqFactor,
          original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
        }
      : {}),
  };
  return {
    architectures: [architecture],
    ...(config.modelType === "llama" ? { attention_bias: config.outBias, mlp_bias: config.mlpBias } : {}),
    dtype,
    head_dim: config.headDim,
    hidden_act: config.hiddenAct,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxPositionEmbeddings,
    model_type: config.modelType,
    num_attention_heads: config.numAttentionHeads,
    num_hidden_layers: config.numHiddenLayers,
    num_key_value_heads: config.numKeyValueHeads,
    rms_norm_eps: config.rmsNormEps,
    rope_parameters: rope,
    ...(config.modelType === "mistral" ? { sliding_window: config.slidingWindow ?? null } : {}),
    tie_word_embeddings: config.tieWordEmbeddings,
    vocab_size: config.vocabSize,
    ...extra,
  };
}

/** Every tensor of the model's checkpoint with its shape, by analysis of the configuration alone. */
export function llamaShapes(config: LlamaConfig): Map<string, readonly number[]> {
  const { hiddenSize: d, intermediateSize: f, vocabSize } = config;
  const q = config.numAttentionHeads * config.headDim;
  const kv = config.numKeyValueHeads * config.headDim;
  const shapes = new Map<string, readonly number[]>([["model.embed_tokens.weight", [vocabSize, d]]]);
  const linear = (name: string, out: number, inn: number, bias: boolean): void => {
    shapes.set(`${name}.weight`, [out, inn]);
    if (bias) shapes.set(`${name}.bias`, [out]);
  };
  for (let i = 0; i < config.numHiddenLayers; i++) {
    const layer = `model.layers.${i}`;
    linear(`${layer}.self_attn.q_proj`, q, d, config.qkvBias);
    linear(`${layer}.self_attn.k_proj`, kv, d, config.qkvBias);
    linear(`${layer}.self_attn.v_proj`, kv, d, config.qkvBias);
    linear(`${layer}.self_attn.o_proj`, d, q, config.outBias);
    linear(`${layer}.mlp.gate_proj`, f, d, config.mlpBias);
    linear(`${layer}.mlp.up_proj`, f, d, config.mlpBias);
    linear(`${layer}.mlp.down_proj`, d, f, config.mlpBias);
    shapes.set(`${layer}.input_layernorm.weight`, [d]);
    shapes.set(`${layer}.post_attention_layernorm.weight`, [d]);
  }
  shapes.set("model.norm.weight", [d]);
  if (!config.tieWordEmbeddings) shapes.set("lm_head.weight", [vocabSize, d]);
  return shapes;
}
