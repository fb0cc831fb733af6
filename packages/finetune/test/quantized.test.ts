import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { changedModel, failure, golden, graft, jsonl, readTensors, temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const quantized = (name: string) => golden(`quant_models/${name}`);
const jsonOf = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"));

/** The rows of a golden file as `--data`. */
async function rowsOf(name: string): Promise<string> {
  const tensors = await readTensors(quantized(`${name}.expect.safetensors`));
  const [ids, labels] = ["input_ids", "labels"].map((key) => {
    const { values = [], shape = [0, 0] } = tensors.get(key) ?? {};
    return Array.from({ length: shape[0] }, (_, row) => [
      ...values.slice(row * shape[1], (row + 1) * shape[1]),
    ]);
  });
  return jsonl(
    at(`${name}.jsonl`),
    ids.map((row, i) => ({ input_ids: row, labels: labels[i] })),
  );
}

async function lossOf(...words: string[]): Promise<number> {
  const ended = await graft("eval", "--device", "cpu", "--json", ...words);
  expect(ended.code, ended.err).toBe(0);
  return Number(ended.lines[0].loss);
}

const names = readdirSync(quantized(""))
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.slice(0, -".json".length));

describe.each(names)("%s, as transformers saved it", (name) => {
  test("eval gives the loss that bitsandbytes' values give", async () => {
    const { loss, source } = jsonOf(quantized(`${name}.json`));
    const data = await rowsOf(name);
    // float32 on both sides; the models in floats differ as much.
    expect(
      Math.abs((await lossOf("--model", quantized(name), "--data", data)) / Number(loss) - 1),
    ).toBeLessThan(2e-6);
    const dense = source === null ? quantized(`${name}.source`) : golden(String(source));
    expect(Math.abs((await lossOf("--model", dense, "--data", data)) / Number(loss) - 1)).toBeGreaterThan(
      1e-4,
    );
  });

  test("info counts weights, not codes and scales, and says the bits of each part", async () => {
    const { source } = jsonOf(quantized(`${name}.json`));
    const dense = source === null ? quantized(`${name}.source`) : golden(String(source));
    const [own, other] = await Promise.all(
      [quantized(name), dense].map(async (path) => (await graft("info", path, "--json")).lines[0]),
    );
    expect(own.parameters).toBe(other.parameters);
    expect(own.bitsPerWeight).toBe((8 * Number(own.bytes)) / Number(own.parameters));
    const parts = own.parts as { part: string; parameters: number; bytes: number; bitsPerWeight: number }[];
    expect(parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(own.bytes);
    expect(parts.reduce((sum, part) => sum + part.parameters, 0)).toBe(own.parameters);
    const linear = parts.find(({ part }) => /^linear layers, (nf4|fp4|int8)( double)?$/.test(part));
    expect(linear?.bitsPerWeight).toBeLessThan(name.includes("int8") ? 12 : 20); // tables weigh much in layers so small
    const text = (await graft("info", quantized(name))).out;
    expect(text).toContain(`bits per weight  ${Number(own.bitsPerWeight).toFixed(3)}`);
    expect(text).toContain(String(linear?.part));
  });
});

describe.each(["llama-nf4", "qwen2-nf4-double"])("ten steps of LoRA on %s", (name) => {
  const run = jsonOf(quantized(`${name}.training/run.json`)) as {
    steps: number;
    trainable: number;
    trajectory: { loss: number; gradNorm: number; learningRate: number }[];
  };
  const training = (model: string, out: string, device: string) =>
    graft(
      ...["finetune", "--model", model, "--adapter", quantized(`${name}.training/start`), "--out", at(out)],
      ...["--data", quantized(`${name}.training/train.jsonl`), "--no-shuffle", "--steps", "10"],
      ...["--batch-size", "2", "--learning-rate", "5e-3", "--schedule", "linear", "--warmup-steps", "3"],
      ...["--weight-decay", "0.01", "--max-grad-norm", "1", "--device", device, "--json"],
    );
  type Step = { loss: number; gradNorm: number; learningRate: number };
  const stepsOf = (ended: Awaited<ReturnType<typeof training>>): Step[] =>
    ended.lines.filter(({ event }) => event === "step") as unknown as Step[];
  const off = (steps: readonly Step[], of: "loss" | "gradNorm"): number =>
    Math.max(...steps.map((step, i) => Math.abs(step[of] / run.trajectory[i][of] - 1)));

  test.each(["cpu", "webgpu"])(
    "losses and gradient norms are PEFT's on %s",
    async (device) => {
      const ended = await training(quantized(name), `${name}-${device}`, device);
      expect(ended.code, ended.err).toBe(0);
      expect(ended.lines[0]).toMatchObject({ event: "start", trainable: run.trainable });
      const steps = stepsOf(ended);
      expect(steps).toHaveLength(run.steps);
      expect(off(steps, "loss")).toBeLessThan(1e-4);
      expect(off(steps, "gradNorm")).toBeLessThan(1e-4);
      const final = await readTensors(join(quantized(`${name}.training/final`), "adapter_model.safetensors"));
      const own = await readTensors(join(at(`${name}-${device}`), "adapter_model.safetensors"));
      expect([...own.keys()].sort()).toEqual([...final.keys()].sort());
    },
    120_000,
  );

  test("the control: on the base in floats they are others", async () => {
    const { source } = jsonOf(quantized(`${name}.json`));
    const dense = source === null ? quantized(`${name}.source`) : golden(String(source));
    const steps = stepsOf(await training(dense, `${name}-dense`, "cpu"));
    expect(off(steps, "loss")).toBeGreaterThan(1e-3);
    expect(off(steps, "gradNorm")).toBeGreaterThan(1e-3);
  });
});

describe("merge into a packed base", () => {
  test("dequantizes, adds and writes a folder in floats", async () => {
    const adapter = quantized("llama-nf4.training/final");
    const out = at("merged");
    const words = ["--model", quantized("llama-nf4"), "--adapter", adapter];
    const ended = await graft("merge", ...words, "--out", out, "--device", "cpu", "--json");
    expect(ended).toMatchObject({ code: 0, lines: [{ dtype: "f32" }] });
    const data = await rowsOf("llama-nf4");
    const merged = await lossOf("--model", out, "--data", data);
    expect(Math.abs(merged / (await lossOf(...words, "--data", data)) - 1)).toBeLessThan(1e-5);
    expect(
      Math.abs(merged / (await lossOf("--model", quantized("llama-nf4"), "--data", data)) - 1),
    ).toBeGreaterThan(1e-3);
    const config = jsonOf(join(out, "config.json"));
    expect(config).not.toHaveProperty("quantization_config");
    expect(config).toMatchObject({ dtype: "float32", model_type: "llama" });
    const tensors = await readTensors(join(out, "model.safetensors"));
    const source = await readTensors(golden("models/llama-odd/model.safetensors"));
    expect([...tensors.keys()].sort()).toEqual([...source.keys()].sort());
  });

  test("the dtype is that of the base's configuration", async () => {
    const adapter = golden("adapters/minimal");
    const words = ["--model", quantized("llama-nf4-bf16"), "--adapter", adapter, "--out", at("merged-bf16")];
    const ended = await graft("merge", ...words, "--device", "cpu", "--json");
    expect(ended).toMatchObject({ code: 0, lines: [{ dtype: "bf16" }] });
    const tensors = await readTensors(join(at("merged-bf16"), "model.safetensors"));
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]));
  });
});

describe("quantize", () => {
  test.each([
    ["nf4", [], "llama-nf4"],
    ["fp4", [], "llama-fp4"],
    ["int8", [], "llama-int8"],
  ])("%s writes what transformers would", async (scheme, more, name) => {
    const out = at(`q-${scheme}`);
    const words = ["--model", golden("models/llama-odd"), "--scheme", scheme, ...more, "--out", out];
    const ended = await graft("quantize", ...words, "--json");
    expect(ended.code, ended.err).toBe(0);
    expect(ended.lines).toMatchObject([{ out, scheme, doubleQuant: false, layers: 14 }]);
    const data = await rowsOf(name);
    const loss = await lossOf("--model", out, "--data", data);
    expect(Math.abs(loss / Number(jsonOf(quantized(`${name}.json`)).loss) - 1)).toBeLessThan(2e-6);
    const [own, theirs] = [out, quantized(name)].map((path) => jsonOf(join(path, "config.json")));
    expect(theirs).toEqual({
      ...own,
      quantization_config: { ...Object(own.quantization_config), llm_int8_threshold: 6 },
      transformers_version: theirs.transformers_version,
    });
  });

  test("double quantization of a bfloat16 model keeps the rest in bfloat16", async () => {
    const out = at("q-double");
    const words = ["--model", golden("models/llama-bf16"), "--scheme", "nf4", "--double-quant", "--out", out];
    expect(await graft("quantize", ...words)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/14 linear layers in nf4 with double quantization, the rest in bf16; /),
    });
    const tensors = await readTensors(join(out, "model.safetensors"));
    expect(tensors.get("model.embed_tokens.weight")?.dtype).toBe("BF16");
    expect(tensors.has("model.layers.0.mlp.up_proj.weight.nested_absmax")).toBe(true);
    const data = await rowsOf("llama-nf4-bf16");
    const loss = await lossOf("--model", out, "--data", data);
    // Nested scales may differ from bitsandbytes' by a step.
    expect(Math.abs(loss / Number(jsonOf(quantized("llama-nf4-bf16.json")).loss) - 1)).toBeLessThan(2e-2);
  });

  test("INT4 is read by every verb", async () => {
    const out = at("q-int4");
    const dense = golden("models/llama-odd");
    expect((await graft("quantize", "--model", dense, "--scheme", "int4", "--out", out)).code).toBe(0);
    const data = await rowsOf("llama-nf4");
    const [own, other] = [
      await lossOf("--model", out, "--data", data),
      await lossOf("--model", dense, "--data", data),
    ];
    expect(own).not.toBe(other);
    expect(Math.abs(own / other - 1)).toBeLessThan(0.1);
    const trained = at("q-int4-adapter");
    const words = ["finetune", "--model", out, "--data", data, "--steps", "2", "--device", "cpu"];
    expect((await graft(...words, "--out", trained)).code).toBe(0);
    const merged = [
      "merge",
      "--model",
      out,
      "--adapter",
      trained,
      "--out",
      at("q-int4-merged"),
      "--device",
      "cpu",
    ];
    expect((await graft(...merged)).code).toBe(0);
  });

  test("a GGUF file becomes a folder with tokenizer and configuration, which generates", async () => {
    const out = at("q-gguf");
    const gguf = golden("gguf_models/llama.gguf");
    const ended = await graft("quantize", "--model", gguf, "--scheme", "nf4", "--out", out);
    expect(ended.code, ended.err).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(jsonOf(join(out, "config.json"))).toMatchObject({ dtype: "float16", model_type: "llama" });
    const words = ["--model", out, "--prompt", "hello", "--max-new-tokens", "3", "--device", "cpu", "--json"];
    const generated = await graft("generate", ...words);
    expect(generated.code, generated.err).toBe(0);
    expect(generated.lines[0].tokens).toHaveLength(3);
  });

  test("refuses what it cannot do, and writes nothing", async () => {
    const words = ["--out", at("q-none"), "--scheme"];
    expect(await failure(1, "quantize", "--model", quantized("llama-nf4"), ...words, "int8")).toBe(
      "graft: quantize: the model must be in floats, got one that is packed already (nf4). Take the unquantized model.",
    );
    expect(
      await failure(2, "quantize", "--model", golden("models/llama"), ...words, "int8", "--double-quant"),
    ).toBe(
      "graft: quantize: --double-quant goes with --scheme nf4 or fp4, got --scheme int8. Leave it out, or choose one of them.",
    );
    const broken = await changedModel(golden("models/llama-odd"), at("broken"), {
      weight: (name, values) => {
        if (name.endsWith("layers.1.mlp.up_proj.weight")) values[7] = Number.NaN;
      },
    });
    expect(await failure(1, "quantize", "--model", broken, ...words, "nf4")).toBe(
      'graft: quantizeFiles: model.safetensors: "model.layers.1.mlp.up_proj.weight": nf4: value 7 must be finite, got NaN.',
    );
    expect(existsSync(at("q-none"))).toBe(false);
  });
});

describe("finetune with few bits", () => {
  const data = () => rowsOf("llama-nf4");
  const dense = golden("models/llama-odd");
  const finetune = async (...words: string[]) =>
    graft(
      "finetune",
      "--data",
      await data(),
      "--device",
      "cpu",
      "--json",
      "--target",
      "all-linear",
      ...words,
    );

  test("--quantize packs a model in floats as it is loaded: the first loss is that of the packed folder", async () => {
    const [own, packed, floats] = [
      await finetune("--model", dense, "--quantize", "nf4", "--steps", "1", "--out", at("f-1")),
      await finetune("--model", quantized("llama-nf4"), "--steps", "1", "--out", at("f-2")),
      await finetune(
        "--model",
        quantized("llama-nf4"),
        "--quantize",
        "none",
        "--steps",
        "1",
        "--out",
        at("f-3"),
      ),
    ].map(({ code, err, lines }) => {
      expect(code, err).toBe(0);
      return Number(lines.at(-1)?.loss);
    });
    expect(Math.abs(own / packed - 1)).toBeLessThan(2e-6);
    expect(Math.abs(floats / packed - 1)).toBeLessThan(2e-6);
    const plain = await finetune("--model", dense, "--steps", "1", "--out", at("f-4"));
    expect(Math.abs(Number(plain.lines.at(-1)?.loss) / packed - 1)).toBeGreaterThan(1e-4);
  });

  test("--dry-run says the state by part, as allocated, and writes nothing", async () => {
    const out = at("f-dry");
    const words = [
      "--model",
      dense,
      "--quantize",
      "nf4",
      "--double-quant",
      "--rank",
      "2",
      "--out",
      out,
      "--dry-run",
    ];
    const ended = await finetune(...words);
    expect(ended.code, ended.err).toBe(0);
    expect(existsSync(out)).toBe(false);
    expect(ended.lines).toHaveLength(1);
    const plan = ended.lines[0] as {
      trainable: number;
      total: number;
      state: Record<string, number>;
      base: Record<string, number>;
      staticBytes: number;
      lastGood: number;
      tables: number;
      stepBytes: number;
      peakBytes: number;
    };
    // Two factors of rank 2 for each of seven projections in two layers.
    const widths = [
      [42, 30],
      [42, 10],
      [42, 10],
      [30, 42],
      [42, 56],
      [42, 56],
      [56, 42],
    ];
    const trainable = 2 * widths.reduce((sum, [width, height]) => sum + 2 * (width + height), 0);
    const weights = 2 * widths.reduce((sum, [width, height]) => sum + width * height, 0);
    expect(plan.trainable).toBe(trainable);
    expect(plan.state).toMatchObject({
      adapters: 4 * trainable,
      gradients: 4 * trainable,
      moments: 8 * trainable,
    });
    expect(plan.base.embedding).toBe(4 * 67 * 42);
    expect(plan.base.packed).toBeGreaterThan((weights * 4.127) / 8);
    expect(plan.base.packed).toBeLessThan((weights * 4.6) / 8);
    expect(plan.state.baseWeights).toBe(plan.base.packed + plan.base.embedding + plan.base.other);
    expect(plan.staticBytes).toBe(Object.values(plan.state).reduce((sum, bytes) => sum + bytes, 0));
    expect(plan.lastGood).toBeGreaterThanOrEqual(4 * trainable); // and a flag
    expect(plan.lastGood).toBeLessThan(4 * trainable + 64);
    expect(plan.peakBytes).toBe(
      plan.staticBytes - plan.state.gradients + plan.lastGood + plan.tables + plan.stepBytes,
    );
    // Gradients, and two rows of logits with theirs.
    expect(plan.stepBytes).toBeGreaterThan(4 * trainable + 2 * 4 * 8 * 67);
    const text = await graft("finetune", "--data", await data(), "--device", "cpu", ...words);
    expect(text.out).toMatch(
      /^static training state\n {2}base weights +\d+\.\d MB\n {4}linear layers, packed/,
    );
    expect(text.out).toMatch(/planned peak +\d+\.\d MB/);
    // The control: in floats the base takes more.
    const floats = await finetune("--model", dense, "--out", out, "--dry-run");
    expect((floats.lines[0].state as Record<string, number>).baseWeights).toBeGreaterThan(
      2 * plan.state.baseWeights,
    );
  });

  test("a GGUF file stays in its blocks", async () => {
    const rows = jsonl(at("gguf.jsonl"), [{ input_ids: [1, 2, 3, 4, 5] }]);
    const words = [
      "--model",
      golden("gguf_models/llama.gguf"),
      "--data",
      rows,
      "--out",
      at("f-gguf"),
      "--dry-run",
    ];
    const [own, floats] = await Promise.all(
      [[], ["--quantize", "none"]].map(async (more) => {
        const ended = await graft("finetune", ...words, ...more, "--device", "cpu", "--json");
        expect(ended.code, ended.err).toBe(0);
        return ended.lines[0].base as Record<string, number>;
      }),
    );
    expect(own.packed).toBeGreaterThan(0);
    expect(floats.packed).toBe(0);
  });

  test("every parameter of a packed model is trained in floats", async () => {
    const words = [
      "--data",
      await data(),
      "--out",
      at("f-full"),
      "--full",
      "--steps",
      "1",
      "--device",
      "cpu",
    ];
    const model = ["--model", quantized("llama-nf4")];
    expect(await failure(1, "finetune", ...model, ...words)).toBe(
      "graft: finetune: --full needs a model in floats, got a packed one (nf4). Train an adapter, or add --quantize none to widen the weights.",
    );
    expect((await graft("finetune", ...model, ...words, "--quantize", "none")).code).toBe(0);
    expect(jsonOf(join(at("f-full"), "config.json"))).not.toHaveProperty("quantization_config");
  });

  test("what does not go together is refused", async () => {
    const words = ["--data", await data(), "--out", at("f-none")];
    expect(
      await failure(1, "finetune", "--model", quantized("llama-nf4"), ...words, "--quantize", "nf4"),
    ).toBe(
      "graft: finetune: --quantize nf4 needs a model in floats, got one that is packed already (nf4). Leave out --quantize, or take the unquantized model.",
    );
    expect(await failure(2, "finetune", "--model", dense, ...words, "--quantize", "nf4", "--full")).toBe(
      "graft: finetune: --full trains every parameter, which packed weights cannot, got --quantize nf4 beside it. Leave out one or the other.",
    );
    expect(await failure(2, "finetune", "--model", dense, ...words, "--double-quant")).toBe(
      "graft: finetune: --double-quant goes with --quantize nf4 or fp4, got neither. Leave it out, or choose one of them.",
    );
    expect(await failure(2, "finetune", "--model", dense, ...words, "--quantize", "q4_0")).toMatch(
      /^graft: finetune: --quantize must be nf4 or fp4 or int8 or int4 or none, got "q4_0"\./,
    );
  });
});

describe("a folder that contradicts itself", () => {
  const eval1 = async (model: string) =>
    failure(1, "eval", "--model", model, "--data", await rowsOf("llama-nf4"));
  const packed = quantized("llama-nf4");
  const configOf = (changes: object) => ({
    quantization_config: { ...Object(jsonOf(join(packed, "config.json")).quantization_config), ...changes },
  });

  test("is refused by what contradicts", async () => {
    const changed = (name: string, changes: object) =>
      changedModel(packed, at(name), { config: configOf(changes) });
    expect(await eval1(await changed("c-1", { bnb_4bit_quant_type: "fp4" }))).toMatch(
      /^graft: openPackedFile: model\.safetensors: "model\..*" must be fp4, as quantization_config says, got nf4\. Save the model again/,
    );
    expect(await eval1(await changed("c-2", { load_in_8bit: true, _load_in_8bit: true }))).toMatch(
      /one of load_in_4bit and load_in_8bit must be true, got both/,
    );
    expect(await eval1(await changed("c-3", { quant_method: "awq" }))).toMatch(
      /quant_method must be bitsandbytes, got "awq"\. Use the unquantized model/,
    );
    expect(
      await eval1(await changedModel(packed, at("c-4"), { config: { quantization_config: null } })),
    ).toMatch(/is packed \(nf4\), but the configuration has no quantization_config/);
  });
});
