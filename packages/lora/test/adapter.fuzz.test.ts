import { CheckpointError, Linear, Sequential } from "@graft/nn";
import { Generator, openCpu } from "@graft/tensor";
import fc from "fast-check";
import { expect, test } from "vitest";
import { injectLora, LoraError, loadAdapter, saveAdapter } from "../src/index.ts";
import { type Files, filesOpener } from "./files.ts";

const device = openCpu();

function model(): Sequential {
  const options = { device, generator: new Generator(11) };
  return new Sequential(new Linear(4, 3, options), new Linear(3, 2, options));
}

const original = await (async () => {
  const made = model();
  injectLora(
    made,
    {
      rank: 2,
      alpha: 4,
      targetModules: ["0", "1"],
      initLoraWeights: false,
      rankPattern: { "1": 1 },
      dropout: 0.25,
    },
    { generator: new Generator(12) },
  );
  return saveAdapter(made);
})();

/** Whatever the files are, a typed error with the model untouched, or an adapter that comes back from its own files. */
async function holds(files: Files): Promise<"refused" | "loaded"> {
  const made = model();
  const before = [...made.namedModules()].map(([path]) => path);
  try {
    await loadAdapter(made, filesOpener(files));
  } catch (error) {
    if (!(error instanceof LoraError || error instanceof CheckpointError)) throw error;
    expect(error.message.length).toBeLessThan(8000);
    expect([...made.namedModules()].map(([path]) => path)).toEqual(before);
    return "refused";
  }
  const first = await saveAdapter(made);
  const again = model();
  await loadAdapter(again, filesOpener(first));
  expect(await saveAdapter(again)).toEqual(first);
  return "loaded";
}

const keys = [
  "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
  "rank_pattern", "alpha_pattern", "bias", "use_rslora", "init_lora_weights", "task_type", "base_model_name_or_path",
  "revision", "fan_in_fan_out", "use_dora", "lora_bias", "modules_to_save", "target_parameters", "eva_config",
  "loftq_config", "peft_type", "inference_mode", "auto_mapping", "peft_version", "zebra", "__proto__", "constructor",
]; // biome-ignore format: a table
const value = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    1,
    2,
    8,
    -1,
    1.5,
    1e308,
    "",
    "LORA",
    "0",
    "1",
    "0|1",
    "[01]",
    "all-linear",
    "(a*)*b",
    "(?=a)",
    "none",
  ),
  fc.constantFrom<unknown>(
    [],
    {},
    ["0"],
    ["1", "0"],
    [0],
    [1, 2],
    { "0": 2 },
    { "1": 1, ".*": 3 },
    { "(": 1 },
    { "1": "1" },
    [["0"]],
  ),
  fc.jsonValue({ maxDepth: 2 }),
);

test("mutated configurations", async () => {
  const config = JSON.parse(String(original.get("adapter_config.json")));
  const outcomes = new Set<string>();
  const change = fc.record({ key: fc.constantFrom(...keys), value, drop: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const entries = new Map<string, unknown>(Object.entries(config));
      for (const { key, value: given, drop } of changes) {
        if (drop) entries.delete(key);
        else entries.set(key, given);
      }
      const text = `{${[...entries].map(([key, given]) => `${JSON.stringify(key)}:${JSON.stringify(given)}`).join(",")}}`;
      outcomes.add(await holds(new Map([...original, ["adapter_config.json", text]])));
    }),
    { numRuns: 300 },
  );
  expect([...outcomes].sort()).toEqual(["loaded", "refused"]);
});

test.each(["adapter_config.json", "adapter_model.safetensors"])("mutated bytes of %s", async (name) => {
  const content = original.get(name) ?? "";
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const outcomes = new Set<string>();
  // Most bytes of the weights are values: aim at the header more often.
  const at = fc.oneof(fc.nat(bytes.length - 1), fc.nat(Math.min(bytes.length, 500) - 1));
  const edit = fc.record({ at, cut: fc.nat(3), insert: fc.uint8Array({ maxLength: 3 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 2 }), async (edits) => {
      let mutated = bytes;
      for (const { at: place, cut, insert } of edits)
        mutated = Uint8Array.from([
          ...mutated.subarray(0, place),
          ...insert,
          ...mutated.subarray(place + cut),
        ]);
      outcomes.add(await holds(new Map([...original, [name, mutated]])));
    }),
    { numRuns: 300 },
  );
  expect(outcomes).toContain("refused");
});

test("the files as they were, and cut short anywhere", async () => {
  expect(await holds(original)).toBe("loaded");
  const bytes = original.get("adapter_model.safetensors") as Uint8Array;
  for (let length = 0; length < bytes.length; length += 7)
    expect(
      await holds(new Map([...original, ["adapter_model.safetensors", bytes.subarray(0, length)]])),
    ).toBe("refused");
});
