import { CheckpointError } from "@graft/nn/checkpoint";
import type { FloatName } from "../bnbQuantState.ts";

/** What the `quantization_config` of a `config.json` says of the linear layers' weights. */
export interface QuantizationConfig {
  /** `"int4"` is Graft's own: transformers has no such weights. */
  readonly scheme: "nf4" | "fp4" | "int8" | "int4";
  /** Only of nf4 and fp4. */
  readonly doubleQuant: boolean;
  /** Linear layers that stay as they are. Undefined: the output head. */
  readonly skipModules: readonly string[] | undefined;
  /** The dtype in which transformers multiplies; here it is always float32. */
  readonly computeDtype: FloatName;
}

/** Bytes that bitsandbytes may see packed codes as; they are the same bytes. */
export const storageDtypes = ["uint8", "int8", "float16", "bfloat16", "float32", "float64"] as const;

const floats: readonly FloatName[] = ["float32", "float16", "bfloat16"];

const bnbKeys = [
  "quant_method",
  "load_in_4bit",
  "load_in_8bit",
  "_load_in_4bit",
  "_load_in_8bit",
  "bnb_4bit_compute_dtype",
  "bnb_4bit_quant_storage",
  "bnb_4bit_quant_type",
  "bnb_4bit_use_double_quant",
  "llm_int8_enable_fp32_cpu_offload",
  "llm_int8_has_fp16_weight",
  "llm_int8_skip_modules",
  "llm_int8_threshold",
];
const ownKeys = ["quant_method", "scheme", "group_size", "skip_modules"];

/** INT4's group in folders that are written here. */
export const int4GroupSize = 64;

/**
 * The `quantization_config` of a parsed `config.json`, checked; undefined where there is none. Keys that are left out have
 * transformers' defaults (`bnb_4bit_quant_type` is "fp4").
 *
 * @param name - the file's name, for messages
 * @throws CheckpointError that names the setting, where it is unknown, of another method or against another one
 * @see transformers `utils/quantization_config.py`, BitsAndBytesConfig
 */
export function readQuantizationConfig(
  configJson: unknown,
  name = "config.json",
): QuantizationConfig | undefined {
  const fail = (problem: string): Error =>
    new CheckpointError("config", `${name}: quantization_config: ${problem}`);
  const json = field(configJson, "quantization_config");
  if (json === undefined || json === null) return undefined;
  if (typeof json !== "object" || Array.isArray(json)) throw fail("must be an object. Save the model again.");
  const method = field(json, "quant_method");
  if (method === "graft") return readOwn(json, fail);
  if (method !== "bitsandbytes" && !(method === undefined && has4or8(json)))
    throw fail(
      `quant_method must be bitsandbytes, got ${shown(method)}. Use the unquantized model, or quantize that with graft quantize.`,
    );
  checkKeys(json, bnbKeys, fail);

  const four = sameOf(json, "load_in_4bit", fail);
  const eight = sameOf(json, "load_in_8bit", fail);
  if (four === eight)
    throw fail(
      `one of load_in_4bit and load_in_8bit must be true, got ${four ? "both" : "neither"}. Save the model again with transformers.`,
    );
  const type = oneOf(json, "bnb_4bit_quant_type", ["fp4", "nf4"], fail);
  const doubleQuant = switchOf(json, "bnb_4bit_use_double_quant", fail);
  const computeDtype = oneOf(json, "bnb_4bit_compute_dtype", floats, fail);
  oneOf(json, "bnb_4bit_quant_storage", storageDtypes, fail);
  if (switchOf(json, "llm_int8_has_fp16_weight", fail) && eight)
    throw fail(
      "llm_int8_has_fp16_weight must be false, got true: such weights are not in 8 bits. Use the unquantized model.",
    );
  switchOf(json, "llm_int8_enable_fp32_cpu_offload", fail);
  const threshold = field(json, "llm_int8_threshold") ?? 6;
  if (typeof threshold !== "number" || !(threshold >= 0))
    throw fail(`llm_int8_threshold must be a number of at least 0, got ${shown(threshold)}.`);
  return {
    scheme: eight ? "int8" : type,
    doubleQuant: four && doubleQuant,
    skipModules: namesOf(json, "llm_int8_skip_modules", fail),
    computeDtype,
  };
}

/**
 * The `quantization_config` to write: for nf4, fp4 and int8 what transformers writes and reads. Only `llm_int8_threshold` is left
 * to its default, 6.0: transformers wants a float, and JSON of JavaScript cannot say 6.0.
 */
export function writeQuantizationConfig({
  scheme,
  doubleQuant = false,
  skipModules,
  computeDtype = "float32",
}: Partial<QuantizationConfig> & Pick<QuantizationConfig, "scheme">): Record<string, unknown> {
  const skip = skipModules === undefined ? null : [...skipModules];
  if (scheme === "int4")
    return { quant_method: "graft", scheme, group_size: int4GroupSize, skip_modules: skip };
  const eight = scheme === "int8";
  return {
    _load_in_4bit: !eight,
    _load_in_8bit: eight,
    bnb_4bit_compute_dtype: computeDtype,
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: eight ? "fp4" : scheme,
    bnb_4bit_use_double_quant: doubleQuant,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: skip,
    load_in_4bit: !eight,
    load_in_8bit: eight,
    quant_method: "bitsandbytes",
  };
}

type Fail = (problem: string) => Error;

function readOwn(json: object, fail: Fail): QuantizationConfig {
  checkKeys(json, ownKeys, fail);
  if (field(json, "scheme") !== "int4")
    throw fail(`scheme must be int4, got ${shown(field(json, "scheme"))}. Quantize the model again.`);
  if (field(json, "group_size") !== int4GroupSize)
    throw fail(
      `group_size must be ${int4GroupSize}, got ${shown(field(json, "group_size"))}. Quantize the model again.`,
    );
  return {
    scheme: "int4",
    doubleQuant: false,
    skipModules: namesOf(json, "skip_modules", fail),
    computeDtype: "float32",
  };
}

function checkKeys(json: object, known: readonly string[], fail: Fail): void {
  const unknown = Object.keys(json).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw fail(
      `${shown(unknown)} is not a setting that is known here. Save the model again with transformers 5, or use the unquantized model.`,
    );
}

/** transformers 5 writes both spellings; older ones one of them. */
function sameOf(json: object, key: string, fail: Fail): boolean {
  const values = [key, `_${key}`]
    .filter((name) => field(json, name) !== undefined)
    .map((name) => switchOf(json, name, fail));
  if (new Set(values).size > 1)
    throw fail(`${key} and _${key} must be the same, got ${values.join(" and ")}. Save the model again.`);
  return values[0] ?? false;
}

function switchOf(json: object, key: string, fail: Fail): boolean {
  const value = field(json, key) ?? false;
  if (typeof value !== "boolean") throw fail(`${key} must be true or false, got ${shown(value)}.`);
  return value;
}

/** One of `allowed`; the first where the key is missing or null. */
function oneOf<T extends string>(json: object, key: string, allowed: readonly T[], fail: Fail): T {
  const value = field(json, key) ?? allowed[0];
  const found = allowed.find((item) => item === value);
  if (found === undefined)
    throw fail(`${key} must be ${allowed.join(", ")}, got ${shown(value)}. Save the model again with one.`);
  return found;
}

function namesOf(json: object, key: string, fail: Fail): readonly string[] | undefined {
  const value = field(json, key) ?? undefined;
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw fail(`${key} must be a list of names, got ${shown(value)}.`);
  const names = value.filter((item): item is string => typeof item === "string");
  if (names.length !== value.length) throw fail(`${key} must be a list of names, got ${shown(value)}.`);
  return names;
}

function has4or8(json: object): boolean {
  return ["load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit"].some((key) => field(json, key));
}

function field(json: unknown, key: string): unknown {
  return typeof json === "object" && json !== null && Object.hasOwn(json, key)
    ? Reflect.get(json, key)
    : undefined;
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
