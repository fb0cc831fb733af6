import { readdir } from "node:fs/promises";
import type { CausalLM } from "@graft/nn";
import { bytesSource } from "@graft/nn/checkpoint";
import { fromArray, Generator, noGrad, openCpu, scope } from "@graft/tensor";
import { describe, expect, test } from "vitest";
import {
  injectLora,
  LoraLinear,
  loadAdapter,
  mergeAndUnload,
  mergeLora,
  removeLora,
  saveAdapter,
  unmergeLora,
} from "../src/index.ts";
import {
  distance,
  type GoldenTensor,
  goldenFolder,
  goldenJson,
  goldenModel,
  goldenPath,
  goldenTensors,
} from "./golden.ts";

const device = openCpu();
const index = (await goldenJson("adapters/adapters.json")) as {
  accepted: Record<string, string>;
  refused: string[];
};
const gpt2 = (await goldenJson("gpt2_adapters/adapters.json")) as typeof index;
/** Golden folder, name and subfolder of every adapter. */
const accepted = [
  ...Object.entries(index.accepted).map(([name, folder]) => ["adapters", name, folder] as const),
  ...Object.entries(gpt2.accepted).map(([name, folder]) => ["gpt2_adapters", name, folder] as const),
];
// PEFT computes in float32 too; the two differ in the order of sums.
const tolerance = 2e-5;

async function logits(model: CausalLM, ids: GoldenTensor | undefined): Promise<ArrayLike<number>> {
  if (ids === undefined) throw new Error("no input_ids");
  const out = scope(() =>
    noGrad(() => model.forward(fromArray(device, ids.values, ids.shape, { dtype: "i32" }))),
  );
  return out.toArray();
}

describe.each(accepted)("of %s the adapter %s, written by PEFT", async (data, name, folder) => {
  const expected = await goldenTensors(`${data}/${name}.expect.safetensors`);
  const ids = expected.get("input_ids");
  const want = (key: string): ArrayLike<number> => expected.get(key)?.values ?? [];
  const adapted = async (): Promise<CausalLM> => {
    const model = await goldenModel(`${data}/base`, device);
    await loadAdapter(model, goldenFolder(`${data}/${folder}`));
    return model;
  };

  test("gives PEFT's logits", async () => {
    const model = await adapted();
    const got = await logits(model, ids);
    expect(distance(got, want("adapted_logits"))).toBeLessThan(tolerance);
    // The control: the base without the adapter is told apart.
    expect(distance(got, want("base_logits"))).toBeGreaterThan(100 * tolerance);
    removeLora(model);
    expect(distance(await logits(model, ids), want("base_logits"))).toBeLessThan(tolerance);
  });

  test("merges into PEFT's weights", async () => {
    const model = await adapted();
    const before = await bitsOf(model);
    await mergeLora(model);
    expect(distance(await logits(model, ids), want("merged_logits"))).toBeLessThan(tolerance);
    unmergeLora(model);
    expect(distance(await logits(model, ids), want("adapted_logits"))).toBeLessThan(tolerance);
    expect(await bitsOf(model)).toEqual(before);

    const { merged } = await mergeAndUnload(model);
    const changed = [...expected.keys()].filter((key) => key.startsWith("merged."));
    expect(merged.map((path) => `merged.${path}.weight`).sort()).toEqual(changed.sort());
    const state = model.stateDict();
    for (const key of changed)
      expect(distance((await state.get(key.slice(7))?.toArray()) ?? [], want(key))).toBeLessThan(1e-6);
    expect(distance(await logits(model, ids), want("merged_logits"))).toBeLessThan(tolerance);
  });

  test("comes back from a file of ours bit for bit", async () => {
    const first = await saveAdapter(await adapted());
    const model = await goldenModel(`${data}/base`, device);
    await loadAdapter(model, async (file) => {
      const content = first.get(file);
      if (content === undefined) return undefined;
      return bytesSource(typeof content === "string" ? new TextEncoder().encode(content) : content, file);
    });
    expect(await saveAdapter(model)).toEqual(first);
    // As PEFT: true where an adapted layer keeps its weight as [in, out]. It says false of what it saw last.
    const theirs = (await goldenJson(`${data}/${folder}/adapter_config.json`)) as Record<string, unknown>;
    const ours = JSON.parse(String(first.get("adapter_config.json")));
    expect(ours.fan_in_fan_out).toBe(data === "gpt2_adapters");
    if (name !== "head") expect(ours.fan_in_fan_out).toBe(theirs.fan_in_fan_out ?? false);
    expect(distance(await logits(model, ids), want("adapted_logits"))).toBeLessThan(tolerance);
  });
});

const reasons: Record<string, string> = {
  bias_all: 'bias must be "none", got "all"',
  bias_lora_only: 'bias must be "none", got "lora_only"',
  ia3: 'peft_type must be "LORA", got "IA3"',
  loha: 'peft_type must be "LORA", got "LOHA"',
  prefix_tuning: 'peft_type must be "LORA", got "PREFIX_TUNING"',
};

test.each(index.refused)("an adapter with %s is refused by name", async (name) => {
  const model = await goldenModel("adapters/base", device);
  const before = [...model.namedModules()].map(([path]) => path);
  await expect(loadAdapter(model, goldenFolder(`adapters/refuse/${name}`))).rejects.toThrow(
    reasons[name] ?? `${name} is not supported, got `,
  );
  expect([...model.namedModules()].map(([path]) => path)).toEqual(before);
});

test("every refused folder is in the list", async () => {
  expect((await readdir(goldenPath("adapters/refuse"))).sort()).toEqual([...index.refused].sort());
});

async function bitsOf(model: CausalLM): Promise<Map<string, unknown>> {
  const bits = new Map<string, unknown>();
  for (const [name, parameter] of model.namedParameters()) bits.set(name, await parameter.toBits());
  return bits;
}

test("a GPT-2's adapter has PEFT's default targets, and is read without a warning", async () => {
  const model = await goldenModel("gpt2_adapters/base", device);
  const warnings: string[] = [];
  await loadAdapter(model, goldenFolder("gpt2_adapters/default"), {
    onWarning: (text) => warnings.push(text),
  });
  expect(warnings).toEqual([]);
  const other = await goldenModel("gpt2_adapters/base", device);
  const { replaced } = injectLora(other, { rank: 4, alpha: 8 }, { generator: new Generator(0) });
  const names = [...model.namedModules()].flatMap(([path, module]) =>
    module instanceof LoraLinear ? [path] : [],
  );
  expect(replaced).toEqual(names);
  expect(names).toEqual(["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]);
});
