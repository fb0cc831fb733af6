import { readFile } from "node:fs/promises";
import { Linear, Sequential } from "@graft/nn";
import {
  bytesSource,
  openSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { f32ToBf16, fromArray, Generator, openCpu, scope } from "@graft/tensor";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  adapterConfig,
  adapterNames,
  adapterTensors,
  fromPeftConfig,
  injectLora,
  LoraError,
  type LoraOptions,
  loadAdapter,
  loraConfig,
  removeLora,
  saveAdapter,
  setAdapter,
  toPeftConfig,
} from "../src/index.ts";
import { type Files, filesOpener } from "./files.ts";
import { goldenFolder, goldenJson, goldenModel, goldenPath } from "./golden.ts";

const device = openCpu();

function refusal(text: string): LoraError {
  const at = text.indexOf(": ");
  return new LoraError(text.slice(0, at), text.slice(at + 2));
}

/** Two layers, 4 → 3 → 2. */
function model(widths = [4, 3, 2]): Sequential {
  const options = { device, generator: new Generator(11) };
  return new Sequential(new Linear(widths[0], widths[1], options), new Linear(widths[1], widths[2], options));
}

async function saved(options: LoraOptions = {}): Promise<Map<string, string | Uint8Array>> {
  const made = model();
  injectLora(
    made,
    { rank: 2, targetModules: ["0", "1"], initLoraWeights: false, ...options },
    { generator: new Generator(12) },
  );
  return saveAdapter(made);
}

function withConfig(files: Files, change: Record<string, unknown>): Files {
  const config = { ...JSON.parse(String(files.get("adapter_config.json"))), ...change };
  return new Map([...files, ["adapter_config.json", JSON.stringify(config)]]);
}

async function withTensors(
  files: Files,
  change: (tensors: SafetensorsTensor[]) => SafetensorsTensor[],
): Promise<Files> {
  const file = await openSafetensors(bytesSource(files.get("adapter_model.safetensors") as Uint8Array));
  const tensors: SafetensorsTensor[] = [];
  for (const [name, { dtype, shape }] of file.tensors)
    tensors.push({ name, dtype, shape, bytes: await file.readBytes(name) });
  return new Map([...files, ["adapter_model.safetensors", serializeSafetensors(change(tensors))]]);
}

describe("files as PEFT has them", () => {
  test.each(["plain", "patterns", "all-linear", "rslora", "regex", "excluded", "layers", "head", "minimal"])(
    "%s: what was loaded is saved with the same weights, byte for byte, and a configuration of the same meaning",
    async (name) => {
      const base = await goldenModel("adapters/base", device);
      await loadAdapter(base, goldenFolder(`adapters/${name}`));
      const files = await saveAdapter(base);
      const original = await readFile(goldenPath(`adapters/${name}/adapter_model.safetensors`));
      expect(Buffer.from(files.get("adapter_model.safetensors") as Uint8Array).equals(original)).toBe(true);
      const theirs = (await goldenJson(`adapters/${name}/adapter_config.json`)) as object;
      const ours = JSON.parse(String(files.get("adapter_config.json")));
      expect({ ...ours, ...theirs, inference_mode: true, task_type: null }).toMatchObject({
        ...ours,
        task_type: null,
      });
      expect(fromPeftConfig(ours)).toEqual(fromPeftConfig(theirs));
    },
  );

  test("the configuration is PEFT's JSON: two spaces, sorted keys", async () => {
    const files = await saved({ alpha: 4, rankPattern: { "1": 2 }, taskType: "CAUSAL_LM" });
    expect([...files.keys()]).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    expect(files.get("adapter_config.json")).toBe(`{
  "alpha_pattern": {},
  "base_model_name_or_path": null,
  "bias": "none",
  "exclude_modules": null,
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": false,
  "layers_pattern": null,
  "layers_to_transform": null,
  "lora_alpha": 4,
  "lora_dropout": 0,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 2,
  "rank_pattern": {
    "1": 2
  },
  "revision": null,
  "target_modules": [
    "0",
    "1"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
}`);
  });

  test("keys are PEFT's, metadata too", async () => {
    const files = await saved();
    const file = await openSafetensors(bytesSource(files.get("adapter_model.safetensors") as Uint8Array));
    expect(Object.fromEntries(file.metadata)).toEqual({ format: "pt" });
    expect([...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ["base_model.model.0.lora_A.weight", "F32", [2, 4]],
      ["base_model.model.0.lora_B.weight", "F32", [3, 2]],
      ["base_model.model.1.lora_A.weight", "F32", [2, 3]],
      ["base_model.model.1.lora_B.weight", "F32", [2, 2]],
    ]);
  });

  test("a named adapter has the same keys; the name is only the model's", async () => {
    const made = model();
    await loadAdapter(made, filesOpener(await saved()), { adapterName: "poet" });
    expect(adapterNames(made)).toEqual(["poet"]);
    expect([...adapterTensors(made, "poet").keys()][0]).toBe("base_model.model.0.lora_A.weight");
    expect(await saveAdapter(made, { adapterName: "poet" })).toEqual(await saved());
    await expect(saveAdapter(made)).rejects.toThrow(
      'adapterTensors: the adapter must be one of "poet", got "default".',
    );
  });

  test("what the file says of itself can be given when saving", async () => {
    const made = model();
    injectLora(made, { targetModules: ["0"] }, { generator: new Generator(1) });
    const files = await saveAdapter(made, {
      taskType: "CAUSAL_LM",
      baseModelNameOrPath: "me/base",
      revision: "main",
    });
    expect(JSON.parse(String(files.get("adapter_config.json")))).toMatchObject({
      task_type: "CAUSAL_LM",
      base_model_name_or_path: "me/base",
      revision: "main",
    });
    expect(adapterConfig(made).taskType).toBeUndefined();
  });

  test("any configuration comes back from its file", () => {
    const name = fc.stringMatching(/^[a-z_]{1,8}(\.[a-z0-9_]{1,5})?$/);
    const pattern = fc.dictionary(name, fc.integer({ min: 1, max: 64 }), { maxKeys: 3 });
    const options = fc.record({
      rank: fc.integer({ min: 1, max: 4096 }),
      alpha: fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
      dropout: fc.double({ min: 0, max: 0.99, noNaN: true }),
      targetModules: fc.oneof(
        fc.uniqueArray(name, { minLength: 1, maxLength: 5 }).map((names) => names.sort()),
        fc.constantFrom("all-linear", ".*\\.(q|v)_proj", undefined),
      ),
      excludeModules: fc.oneof(
        fc.uniqueArray(name, { minLength: 1, maxLength: 3 }).map((names) => names.sort()),
        fc.constantFrom(".*\\.1\\..*", undefined),
      ),
      rankPattern: pattern,
      alphaPattern: pattern,
      useRslora: fc.boolean(),
      initLoraWeights: fc.constantFrom(true, false, "gaussian" as const),
      taskType: fc.constantFrom("CAUSAL_LM" as const, undefined),
      baseModelNameOrPath: fc.option(fc.string(), { nil: undefined }),
    });
    fc.assert(
      fc.property(options, (given) => {
        const config = loraConfig(given);
        const text = JSON.stringify(toPeftConfig(config));
        expect(fromPeftConfig(JSON.parse(text))).toEqual(config);
      }),
    );
  });

  test("a function cannot be written", () => {
    expect(() => toPeftConfig(loraConfig({ targetModules: () => true }))).toThrow(
      refusal(
        "toPeftConfig: targetModules must be names or a pattern, got a function. Use saveAdapter, which writes the names of the layers.",
      ),
    );
  });
});

describe("loading", () => {
  test("widens bf16 and takes f64", async () => {
    const files = await saved();
    const made = model();
    await loadAdapter(made, filesOpener(files));
    const exact = await Promise.all([...adapterTensors(made).values()].map((factor) => factor.toArray()));
    const floats = ({ bytes }: SafetensorsTensor): Float32Array =>
      new Float32Array(new Uint8Array(bytes).buffer);
    for (const [dtype, encode, tolerance] of [
      ["BF16", (values: Float32Array) => f32ToBf16(values), 2 ** -8],
      ["F64", (values: Float32Array) => Float64Array.from(values), 0],
    ] as const) {
      const changed = await withTensors(files, (tensors) =>
        tensors.map((tensor) => ({ ...tensor, dtype, bytes: new Uint8Array(encode(floats(tensor)).buffer) })),
      );
      removeLora(made);
      await loadAdapter(made, filesOpener(changed));
      const got = await Promise.all([...adapterTensors(made).values()].map((factor) => factor.toArray()));
      for (const [i, factor] of got.entries())
        for (const [j, value] of factor.entries())
          expect(Math.abs(value - exact[i][j])).toBeLessThanOrEqual(tolerance * Math.abs(exact[i][j]));
    }
  });

  test("gives a frozen adapter, or on request one to train", async () => {
    const files = await saved({ dropout: 0.5 });
    const frozen = model().train();
    expect((await loadAdapter(frozen, filesOpener(files))).trainable).toBe(0);
    const x = fromArray(device, [1, 2, 3, 4], [1, 4]);
    const run = () => scope(() => frozen.forward(x).detach()).toArray();
    expect(await run()).toEqual(await run());
    const trained = model();
    const generator = new Generator(1);
    expect((await loadAdapter(trained, filesOpener(files), { isTrainable: true, generator })).trainable).toBe(
      24,
    );
    await expect(loadAdapter(model(), filesOpener(files), { isTrainable: true })).rejects.toThrow(
      refusal(
        "loadAdapter: a generator must be given to train an adapter with dropout, got none for dropout 0.5. Pass generator.",
      ),
    );
  });

  test("warns of keys that nobody knows and goes on, as PEFT", async () => {
    const warnings: string[] = [];
    const files = withConfig(await saved(), {
      zebra: 1,
      new_thing: { a: 2 },
      fan_in_fan_out: true,
      use_dora: null,
    });
    await loadAdapter(model(), filesOpener(files), { onWarning: (text) => warnings.push(text) });
    expect(warnings).toEqual([
      'adapter_config.json has keys that are not known and are left aside: "new_thing", "zebra".',
      "fan_in_fan_out is taken as false: linear layers keep their weight as [outFeatures, inFeatures].",
    ]);
  });

  test("accepts names of other architectures among the targets, as PEFT", async () => {
    const made = model();
    await loadAdapter(made, filesOpener(withConfig(await saved(), { target_modules: ["0", "1", "c_attn"] })));
    setAdapter(made, "default");
    expect(adapterTensors(made).size).toBe(4);
  });

  async function refused(files: Files, made = model()): Promise<Error> {
    const before = [...made.namedModules()].map(([path]) => path);
    const error = await loadAdapter(made, filesOpener(files)).then(
      () => new Error("it was accepted"),
      (reason: Error) => reason,
    );
    expect([...made.namedModules()].map(([path]) => path)).toEqual(before);
    expect(made.parameters().every((parameter) => parameter.requiresGrad)).toBe(true);
    return error;
  }

  test("on another base, says which tensors do not fit and what it was made for", async () => {
    const files = withConfig(await saved(), { base_model_name_or_path: "me/base" });
    expect(await refused(files, model([4, 5, 2]))).toEqual(
      refusal(`loadAdapter: adapter_model.safetensors does not fit this model: 2 problems
  base_model.model.0.lora_B.weight: expected [5, 2], got [3, 2]
  base_model.model.1.lora_A.weight: expected [2, 5], got [2, 3]
It was made for "me/base".`),
    );
    expect((await refused(withConfig(await saved(), { target_modules: ["1"] }))).message).toBe(
      `loadAdapter: adapter_model.safetensors does not fit this model: 2 problems
  base_model.model.0.lora_A.weight: not asked for by adapter_config.json on this model
  base_model.model.0.lora_B.weight: not asked for by adapter_config.json on this model
Is this the model it was made for?`,
    );
  });

  test("half a pair, a rank that the configuration does not say, other types", async () => {
    const files = await saved();
    const broken = await withTensors(files, ([a, , c, d]) => [
      a,
      { ...c, shape: [3, 2] },
      { ...d, dtype: "I32" },
    ]);
    expect(await refused(broken)).toEqual(
      refusal(`loadAdapter: adapter_model.safetensors does not fit this model: 3 problems
  base_model.model.0.lora_B.weight: missing
  base_model.model.1.lora_A.weight: expected [2, 3], got [3, 2]
  base_model.model.1.lora_B.weight: expected F32, F16, BF16 or F64, got I32
Is this the model it was made for?`),
    );
    expect((await refused(withConfig(files, { r: 3 }))).message).toContain(
      "base_model.model.0.lora_A.weight: expected [3, 4], got [2, 4]",
    );
  });

  test("values that are not finite", async () => {
    const poisoned = await withTensors(await saved(), ([first, ...others]) => [
      {
        ...first,
        bytes: new Uint8Array(
          new Float32Array([0, Number.NaN, 1, 2, 3, 4, 5, Number.NEGATIVE_INFINITY]).buffer,
        ),
      },
      ...others,
    ]);
    expect(await refused(poisoned)).toEqual(
      refusal(`loadAdapter: adapter_model.safetensors must hold finite values: 1 problem
  base_model.model.0.lora_A.weight: 2 of 8 values are infinite or not a number
The adapter is damaged.`),
    );
  });

  test.each<[string, (files: Files) => Files, string]>([
    [
      "no configuration",
      () => new Map(),
      "loadAdapter: the folder must have adapter_config.json, found none. Is it the folder of a PEFT adapter?",
    ],
    [
      "no JSON",
      () => new Map([["adapter_config.json", "{"]]),
      "loadAdapter: adapter_config.json must be JSON, got something else (",
    ],
    [
      "no object",
      () => new Map([["adapter_config.json", "[1]"]]),
      "loadAdapter: adapter_config.json must be an object, got [1].",
    ],
    [
      "no UTF-8",
      () => new Map([["adapter_config.json", new Uint8Array([0x22, 0xff, 0x22])]]),
      "loadAdapter: adapter_config.json must be UTF-8.",
    ],
    [
      "a huge file",
      () => new Map([["adapter_config.json", " ".repeat(1024 * 1024 + 1)]]),
      "loadAdapter: adapter_config.json must be at most 1048576 bytes long, got 1048577.",
    ],
    [
      "no kind",
      (files) => withConfig(files, { peft_type: undefined }),
      'loadAdapter: peft_type must be "LORA", got nothing. Other kinds of adapter are not supported.',
    ],
    [
      "several unsupported options",
      (files) =>
        withConfig(files, {
          use_dora: true,
          modules_to_save: ["lm_head"],
          bias: "all",
          init_lora_weights: "pissa",
          rank_pattern: 3,
        }),
      `loadAdapter: the adapter needs what Graft cannot do: 5 problems
  bias must be "none", got "all"
  init_lora_weights must be true, false or "gaussian", got "pissa"
  modules_to_save is not supported, got ["lm_head"]
  rank_pattern must be an object, got 3
  use_dora is not supported, got true`,
    ],
    [
      "values out of range",
      (files) =>
        withConfig(files, {
          r: 0,
          lora_alpha: -1,
          lora_dropout: 1,
          use_rslora: "yes",
          layers_to_transform: "x",
        }),
      `loadAdapter: 5 problems
  alpha must be a finite number above 0, got -1
  dropout must be in [0, 1), got 1
  layersToTransform must be a list of whole numbers from 0, got "x"
  rank must be a whole number from 1 to 4096, got 0
  useRslora must be true or false, got "yes"`,
    ],
    [
      "no weights",
      (files) => new Map([...files].filter(([name]) => name === "adapter_config.json")),
      "openCheckpoint: the folder must have adapter_model.safetensors or adapter_model.safetensors.index.json, found neither.",
    ],
    [
      "pickled weights",
      (files) =>
        new Map([
          ["adapter_config.json", files.get("adapter_config.json") ?? ""],
          ["adapter_model.bin", "x"],
        ]),
      'openCheckpoint: weights must be safetensors, got "adapter_model.bin", a pickle file',
    ],
  ])("%s", async (_, change, message) => {
    const error = await refused(change(await saved()));
    expect(error.message.slice(0, message.length)).toBe(message);
  });
});
