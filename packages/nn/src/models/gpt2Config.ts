import * as v from "valibot";
import { type ActivationName, isActivationName } from "../feedForward.ts";
import type { CausalLMConfig } from "./causalLM.ts";
import { checkModelType, configError, parseConfig, size } from "./configSchema.ts";

/** What a GPT-2 model is made of. */
export interface GPT2Config extends CausalLMConfig {
  readonly modelType: "gpt2";
  readonly layerNormEps: number;
  readonly activation: ActivationName;
}

/** transformers' defaults are those of the smallest released model. */
const schema = v.looseObject({
  vocab_size: v.nullish(size(1 << 22), 50257),
  n_positions: v.nullish(size(1 << 24), 1024),
  n_embd: v.nullish(size(1 << 17), 768),
  n_layer: v.nullish(size(1024), 12),
  n_head: v.nullish(size(4096), 12),
  n_inner: v.nullish(size(1 << 20)),
  activation_function: v.nullish(v.string(), "gelu_new"),
  layer_norm_epsilon: v.nullish(v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(1)), 1e-5),
  tie_word_embeddings: v.nullish(v.boolean(), true),
  scale_attn_weights: v.nullish(v.boolean(), true),
  scale_attn_by_inverse_layer_idx: v.nullish(v.boolean(), false),
  add_cross_attention: v.nullish(v.boolean(), false),
});

/**
 * Reads the parsed `config.json` of a GPT-2 model. Whatever would change the model's results and is not supported is
 * refused by name; all problems are told at once. `reorder_and_upcast_attn` changes nothing in float32. The dropout
 * probabilities (`resid_pdrop`, `embd_pdrop`, `attn_pdrop`) are not read, as `attention_dropout` of other models.
 * @param name - the file's name, for messages
 */
export function gpt2ConfigFromHf(json: unknown, name = "config.json"): GPT2Config {
  checkModelType(json, ["gpt2"], name);
  const c = parseConfig(schema, json, name);
  const problems: string[] = [];
  if (Reflect.get(Object(json), "quantization_config") != null)
    problems.push("quantization_config is not supported yet: use the unquantized model");
  if (!isActivationName(c.activation_function))
    problems.push(
      `activation_function must be silu, relu, gelu, gelu_new or gelu_pytorch_tanh, got "${c.activation_function.slice(0, 40)}"`,
    );
  if (c.n_embd % c.n_head !== 0)
    problems.push(`n_embd (${c.n_embd}) must be a multiple of n_head (${c.n_head})`);
  if (!c.scale_attn_weights) problems.push("scale_attn_weights must be true");
  if (c.scale_attn_by_inverse_layer_idx) problems.push("scale_attn_by_inverse_layer_idx is not supported");
  if (c.add_cross_attention) problems.push("add_cross_attention is not supported");
  if (problems.length > 0) throw configError(name, problems);
  return {
    modelType: "gpt2",
    vocabSize: c.vocab_size,
    hiddenSize: c.n_embd,
    intermediateSize: c.n_inner ?? 4 * c.n_embd,
    numHiddenLayers: c.n_layer,
    numAttentionHeads: c.n_head,
    numKeyValueHeads: c.n_head,
    headDim: c.n_embd / c.n_head,
    layerNormEps: c.layer_norm_epsilon,
    activation: isActivationName(c.activation_function) ? c.activation_function : "gelu_new",
    tieWordEmbeddings: c.tie_word_embeddings,
    maxPositionEmbeddings: c.n_positions,
  };
}

/** The `config.json` that transformers reads for a model. */
export function gpt2ConfigToHf(
  config: GPT2Config,
  dtype: "float32" | "float16" | "bfloat16",
  extra: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    activation_function: config.activation,
    architectures: ["GPT2LMHeadModel"],
    dtype,
    layer_norm_epsilon: config.layerNormEps,
    model_type: "gpt2",
    n_embd: config.hiddenSize,
    n_head: config.numAttentionHeads,
    n_inner: config.intermediateSize,
    n_layer: config.numHiddenLayers,
    n_positions: config.maxPositionEmbeddings,
    tie_word_embeddings: config.tieWordEmbeddings,
    vocab_size: config.vocabSize,
    ...extra,
  };
}

/** Every tensor of the model's checkpoint with its shape, by analysis of the configuration alone. */
export function gpt2Shapes(config: GPT2Config): Map<string, readonly number[]> {
  const { hiddenSize: d, intermediateSize: f, vocabSize } = config;
  const shapes = new Map<string, readonly number[]>([
    ["transformer.wte.weight", [vocabSize, d]],
    ["transformer.wpe.weight", [config.maxPositionEmbeddings, d]],
  ]);
  const norm = (name: string): void => {
    for (const part of ["weight", "bias"]) shapes.set(`${name}.${part}`, [d]);
  };
  const conv1D = (name: string, inn: number, out: number): void => {
    shapes.set(`${name}.weight`, [inn, out]);
    shapes.set(`${name}.bias`, [out]);
  };
  for (let i = 0; i < config.numHiddenLayers; i++) {
    const layer = `transformer.h.${i}`;
    norm(`${layer}.ln_1`);
    conv1D(`${layer}.attn.c_attn`, d, 3 * d);
    conv1D(`${layer}.attn.c_proj`, d, d);
    norm(`${layer}.ln_2`);
    conv1D(`${layer}.mlp.c_fc`, d, f);
    conv1D(`${layer}.mlp.c_proj`, f, d);
  }
  norm("transformer.ln_f");
  if (!config.tieWordEmbeddings) shapes.set("lm_head.weight", [vocabSize, d]);
  return shapes;
}
