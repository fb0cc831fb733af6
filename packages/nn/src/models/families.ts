import { type LlamaConfig, llamaConfigFromHf, llamaShapes, llamaTypes } from "./config.ts";
import { checkModelType } from "./configSchema.ts";
import { GPT2LMHeadModel } from "./gpt2.ts";
import { type GPT2Config, gpt2ConfigFromHf, gpt2Shapes } from "./gpt2Config.ts";
import type { LlamaOptions } from "./llama.ts";
import { LlamaForCausalLM } from "./llama.ts";

/** Everything that there is to know of the models of one architecture; other code asks nothing of their type. */
export interface Family<C, M> {
  configFromHf(json: unknown, name?: string): C;
  /** Every tensor of the model's checkpoint. */
  shapes(config: C): ReadonlyMap<string, readonly number[]>;
  /** Whether a checkpoint may hold this tensor beside those of the model. */
  mayHold(name: string, config: C): boolean;
  /** What some checkpoints leave out in front of every name. */
  readonly prefix: string;
  /** Whether this is the weight of a linear layer, the output head left out. */
  isLinear(name: string): boolean;
  /** Whether those weights lie turned in files, `[inFeatures, outFeatures]`, unless they are packed. */
  readonly isTurned: boolean;
  make(config: C, options: LlamaOptions): M;
}

const llama: Family<LlamaConfig, LlamaForCausalLM> = {
  configFromHf: llamaConfigFromHf,
  shapes: llamaShapes,
  // Tied checkpoints may repeat the head, and old ones hold the rotary frequencies.
  mayHold: (name, { tieWordEmbeddings }) =>
    name.endsWith(".rotary_emb.inv_freq") || (tieWordEmbeddings && name === "lm_head.weight"),
  prefix: "",
  isLinear: (name) => /^model\.layers\.\d+\.\w+\.\w+_proj\.weight$/.test(name),
  isTurned: false,
  make: (config, options) => new LlamaForCausalLM(config, options),
};

const gpt2: Family<GPT2Config, GPT2LMHeadModel> = {
  configFromHf: gpt2ConfigFromHf,
  shapes: gpt2Shapes,
  // Old ones hold the causal mask.
  mayHold: (name, { tieWordEmbeddings }) =>
    /\.attn\.(masked_)?bias$/.test(name) || (tieWordEmbeddings && name === "lm_head.weight"),
  prefix: "transformer.",
  isLinear: (name) => /^transformer\.h\.\d+\.\w+\.c_(attn|proj|fc)\.weight$/.test(name),
  isTurned: true,
  make: (config, options) => new GPT2LMHeadModel(config, options),
};

export type ModelConfig = LlamaConfig | GPT2Config;
/** The class of the models with a configuration of a type. */
export type ModelOf<C extends ModelConfig> = C extends GPT2Config ? GPT2LMHeadModel : LlamaForCausalLM;

const families = {
  ...(Object.fromEntries(llamaTypes.map((type) => [type, llama])) as Record<
    LlamaConfig["modelType"],
    typeof llama
  >),
  gpt2,
};

export function familyOf<C extends ModelConfig>({ modelType }: C): Family<C, ModelOf<C>> {
  // A configuration's model type says its own type, which TypeScript does not follow through a generic.
  return families[modelType] as unknown as Family<C, ModelOf<C>>;
}

/** Reads the parsed `config.json` of any model that Graft knows. See `llamaConfigFromHf` and `gpt2ConfigFromHf`. */
export function modelConfigFromHf(json: unknown, name = "config.json"): ModelConfig {
  const type = checkModelType(json, Object.keys(families) as ModelConfig["modelType"][], name);
  return families[type].configFromHf(json, name);
}
