import { type LoraConfig, type LoraOptions, loraConfig } from "./config.ts";
import { display, LoraError, listed, quote } from "./errors.ts";

/** Gets one sentence for each thing in a file that is left aside. */
export type OnWarning = (message: string) => void;

/**
 * Options of PEFT that are not supported, with the values at which they do nothing. At any other value an adapter
 * computes something else than plain LoRA, so it is refused.
 */
const unsupported: ReadonlyMap<string, readonly unknown[]> = new Map([
  ["use_dora", [false]],
  ["lora_bias", [false]],
  ["use_qalora", [false]],
  ["use_bdlora", [false]],
  ["ensure_weight_tying", [false]],
  ["modules_to_save", []],
  ["target_parameters", []],
  ["trainable_token_indices", []],
  ["layer_replication", []],
  ["alora_invocation_tokens", []],
  ["megatron_config", []],
  ["loftq_config", []],
  ["eva_config", []],
  ["corda_config", []],
  ["lora_ga_config", []],
  ["arrow_config", []],
  ["velora_config", []],
  ["monteclora_config", []],
  ["kasa_config", []],
]);

/** Keys that change nothing by themselves, so they may have any value. */
const inert = new Set([
  "auto_mapping",
  "inference_mode",
  "megatron_core",
  "peft_type",
  "peft_version",
  "qalora_group_size",
  "runtime_config",
]);

/** Keys that are read, with our names for them. */
const names = {
  r: "rank",
  lora_alpha: "alpha",
  lora_dropout: "dropout",
  target_modules: "targetModules",
  exclude_modules: "excludeModules",
  layers_to_transform: "layersToTransform",
  layers_pattern: "layersPattern",
  rank_pattern: "rankPattern",
  alpha_pattern: "alphaPattern",
  bias: "bias",
  use_rslora: "useRslora",
  init_lora_weights: "initLoraWeights",
  task_type: "taskType",
  base_model_name_or_path: "baseModelNameOrPath",
  revision: "revision",
} as const satisfies Record<string, keyof LoraConfig>;

const known: ReadonlySet<string> = new Set([
  ...Object.keys(names),
  ...unsupported.keys(),
  ...inert,
  "fan_in_fan_out",
]);

/**
 * Reads a parsed `adapter_config.json`. What an adapter says and Graft cannot do is refused by name; keys that nobody
 * knows are reported through `onWarning` and left aside, as PEFT does.
 *
 * @param options.fanInFanOut - whether the model has layers of which `fan_in_fan_out: true` may be said, as GPT-2's. Each layer
 *   knows how its weight lies, so what a file says changes nothing. Default false
 * @throws LoraError with all problems at once
 */
export function fromPeftConfig(
  json: unknown,
  {
    onWarning,
    who = "fromPeftConfig",
    fanInFanOut = false,
  }: { onWarning?: OnWarning; who?: string; fanInFanOut?: boolean } = {},
): LoraConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new LoraError(who, `adapter_config.json must be an object, got ${display(json)}.`);
  const entries = new Map<string, unknown>(Object.entries(json));
  const type = entries.get("peft_type");
  if (type !== "LORA")
    throw new LoraError(
      who,
      `peft_type must be "LORA", got ${display(type)}. Other kinds of adapter are not supported.`,
    );

  const problems: string[] = [];
  for (const [key, neutral] of unsupported) {
    const value = entries.get(key);
    if (!isNothing(value) && !neutral.includes(value))
      problems.push(`${key} is not supported, got ${display(value)}`);
  }
  const bias = entries.get("bias");
  if (!isNothing(bias) && bias !== "none") problems.push(`bias must be "none", got ${display(bias)}`);
  const init = entries.get("init_lora_weights");
  if (!isNothing(init) && typeof init !== "boolean" && init !== "gaussian")
    problems.push(`init_lora_weights must be true, false or "gaussian", got ${display(init)}`);
  for (const key of ["rank_pattern", "alpha_pattern"]) {
    const value = entries.get(key);
    if (!isNothing(value) && (typeof value !== "object" || Array.isArray(value)))
      problems.push(`${key} must be an object, got ${display(value)}`);
  }
  if (problems.length > 0)
    throw new LoraError(who, `the adapter needs what Graft cannot do: ${listed(problems)}`);

  const unknown = [...entries.keys()].filter((key) => !known.has(key)).sort();
  if (unknown.length > 0)
    onWarning?.(
      `adapter_config.json has keys that are not known and are left aside: ${unknown.slice(0, 10).map(quote).join(", ")}${unknown.length > 10 ? ", ..." : ""}.`,
    );
  const said = entries.get("fan_in_fan_out");
  if (!isNothing(said) && said !== false && !fanInFanOut)
    onWarning?.(
      "fan_in_fan_out is taken as false: linear layers keep their weight as [outFeatures, inFeatures].",
    );

  return loraConfig(optionsOf(entries), who);
}

function optionsOf(entries: ReadonlyMap<string, unknown>): LoraOptions {
  const options: Record<string, unknown> = {};
  for (const [key, name] of Object.entries(names)) {
    const value = entries.get(key);
    if (value !== undefined && value !== null) options[name] = value;
  }
  if (typeof options.layersToTransform === "number") options.layersToTransform = [options.layersToTransform];
  if (typeof options.layersPattern === "string") options.layersPattern = [options.layersPattern];
  return options as LoraOptions; // types are checked by loraConfig, which takes nothing on trust
}

/** null, absent, and the empty lists and objects that PEFT takes for "not used". */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/**
 * The content of `adapter_config.json`: PEFT's keys, sorted. Orders that carry meaning (patterns) are kept.
 *
 * @param config - `targetModules` must be names or a pattern; `saveAdapter` puts the names of the layers in place of a
 *   function and of "all-linear"
 * @param options.fanInFanOut - whether an adapted layer keeps its weight as `[inFeatures, outFeatures]`. Default false
 */
export function toPeftConfig(
  config: LoraConfig,
  { fanInFanOut = false }: { fanInFanOut?: boolean } = {},
): Record<string, unknown> {
  if (typeof config.targetModules === "function")
    throw new LoraError(
      "toPeftConfig",
      "targetModules must be names or a pattern, got a function. Use saveAdapter, which writes the names of the layers.",
    );
  const taken: Record<string, unknown> = {
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    modules_to_save: null,
    peft_type: "LORA",
    use_dora: false,
  };
  for (const [key, name] of Object.entries(names)) {
    const value = config[name];
    taken[key] = value instanceof Map ? Object.fromEntries(value) : (value ?? null);
  }
  for (const key of ["target_modules", "exclude_modules"]) {
    const list = taken[key];
    if (Array.isArray(list)) taken[key] = [...list].sort();
  }
  return Object.fromEntries(Object.entries(taken).sort(([a], [b]) => (a < b ? -1 : 1)));
}
