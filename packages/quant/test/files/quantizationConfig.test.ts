import { CheckpointError } from "@graft/nn/checkpoint";
import { describe, expect, test } from "vitest";
import { readQuantizationConfig, writeQuantizationConfig } from "../../src/files/quantizationConfig.ts";
import { caseOf, configJsonOf, names } from "./goldens.ts";

const read = (quantization: unknown) => readQuantizationConfig({ quantization_config: quantization });

test.each(names)("%s: what transformers wrote is read, and written alike", (name) => {
  const json = configJsonOf(`quant_models/${name}`);
  const config = readQuantizationConfig(json);
  if (config === undefined) throw new Error("nothing was read");
  const { load_in_8bit: eight, bnb_4bit_quant_type: type = "fp4" } = caseOf(name).options;
  expect(config.scheme).toBe(eight ? "int8" : type);
  const { llm_int8_threshold: threshold, ...rest } = Object(json.quantization_config);
  expect(threshold).toBe(6); // the default, which cannot be written as the float that transformers wants
  // The dtype in which codes are stored is a matter of the file.
  expect(writeQuantizationConfig(config)).toEqual({ ...rest, bnb_4bit_quant_storage: "uint8" });
});

test.each(["nf4", "fp4", "int8", "int4"] as const)("%s is read as it was written", (scheme) => {
  const config = {
    scheme,
    doubleQuant: scheme === "nf4",
    skipModules: ["lm_head"],
    computeDtype: "float32",
  } as const;
  expect(read(writeQuantizationConfig(config))).toEqual(config);
});

test("what is left out has transformers' defaults", () => {
  expect(read({ load_in_4bit: true, quant_method: "bitsandbytes" })).toEqual({
    scheme: "fp4",
    doubleQuant: false,
    skipModules: undefined,
    computeDtype: "float32",
  });
  // Before quant_method there was only bitsandbytes.
  expect(read({ load_in_8bit: true })?.scheme).toBe("int8");
  expect(read(null)).toBeUndefined();
  expect(readQuantizationConfig([])).toBeUndefined();
});

describe("refused, word for word", () => {
  const four = { quant_method: "bitsandbytes", load_in_4bit: true };
  test.each([
    ["nf4", "must be an object. Save the model again."],
    [
      { quant_method: "gptq", bits: 4 },
      'quant_method must be bitsandbytes, got "gptq". Use the unquantized model, or quantize that with graft quantize.',
    ],
    [
      {},
      "quant_method must be bitsandbytes, got nothing. Use the unquantized model, or quantize that with graft quantize.",
    ],
    [
      { ...four, bnb_4bit_magic: 1 },
      '"bnb_4bit_magic" is not a setting that is known here. Save the model again with transformers 5, or use the unquantized model.',
    ],
    [
      { ...four, load_in_8bit: true },
      "one of load_in_4bit and load_in_8bit must be true, got both. Save the model again with transformers.",
    ],
    [
      { quant_method: "bitsandbytes" },
      "one of load_in_4bit and load_in_8bit must be true, got neither. Save the model again with transformers.",
    ],
    [
      { ...four, _load_in_4bit: false },
      "load_in_4bit and _load_in_4bit must be the same, got true and false. Save the model again.",
    ],
    [{ ...four, load_in_4bit: "yes" }, 'load_in_4bit must be true or false, got "yes".'],
    [
      { ...four, bnb_4bit_quant_type: "int4" },
      'bnb_4bit_quant_type must be fp4, nf4, got "int4". Save the model again with one.',
    ],
    [
      { ...four, bnb_4bit_compute_dtype: "float8" },
      'bnb_4bit_compute_dtype must be float32, float16, bfloat16, got "float8". Save the model again with one.',
    ],
    [
      { ...four, bnb_4bit_quant_storage: "int64" },
      'bnb_4bit_quant_storage must be uint8, int8, float16, bfloat16, float32, float64, got "int64". Save the model again with one.',
    ],
    [{ ...four, bnb_4bit_use_double_quant: 1 }, "bnb_4bit_use_double_quant must be true or false, got 1."],
    [
      { ...four, load_in_4bit: false, load_in_8bit: true, llm_int8_has_fp16_weight: true },
      "llm_int8_has_fp16_weight must be false, got true: such weights are not in 8 bits. Use the unquantized model.",
    ],
    [{ ...four, llm_int8_threshold: -1 }, "llm_int8_threshold must be a number of at least 0, got -1."],
    [
      { ...four, llm_int8_skip_modules: "lm_head" },
      'llm_int8_skip_modules must be a list of names, got "lm_head".',
    ],
    [{ ...four, llm_int8_skip_modules: [1] }, "llm_int8_skip_modules must be a list of names, got [1]."],
    [{ quant_method: "graft", scheme: "int3" }, 'scheme must be int4, got "int3". Quantize the model again.'],
    [
      { quant_method: "graft", scheme: "int4", group_size: 32 },
      "group_size must be 64, got 32. Quantize the model again.",
    ],
  ])("%j", (json, words) => {
    expect(() => read(json)).toThrow(
      new CheckpointError("config", `config.json: quantization_config: ${words}`),
    );
  });
});
