import { describe, expect, test } from "vitest";
import { parseCommand } from "../src/args/parse.ts";
import { verbs } from "../src/args/verbs.ts";
import { UsageError } from "../src/errors.ts";

const words = (line: string) => line.split(" ");
const finetune = "finetune --model m --data d.jsonl --out o";

describe("command line", () => {
  test("finetune has the defaults of the contract", () => {
    expect(parseCommand(words(finetune))).toMatchObject({
      verb: "finetune",
      source: { demo: false, model: "m", data: "d.jsonl", out: "o" },
      trained: { kind: "new", rank: 8, alpha: 16, dropout: 0, target: ["q_proj", "v_proj"] },
      length: { epochs: 1 },
      batchSize: 1,
      accumulate: 1,
      sequenceLength: 256,
      learningRate: 2e-4,
      schedule: "linear",
      warmupSteps: 0,
      weightDecay: 0,
      maxGradNorm: 1,
      shuffle: true,
      evalData: undefined,
      device: undefined,
      seed: 0,
      json: false,
      force: false,
    });
  });

  test("the flags of the contract's training run are understood", () => {
    const line = `${finetune} --adapter a --no-shuffle --steps 14 --batch-size 2 --accumulate 2 --learning-rate 1e-2 --schedule cosine --warmup-steps 3 --weight-decay 0.1 --max-grad-norm 0.5 --sequence-length=64 --device cpu --json`;
    expect(parseCommand(words(line))).toMatchObject({
      trained: { kind: "from", adapter: "a" },
      shuffle: false,
      length: { steps: 14 },
      learningRate: 0.01,
      schedule: "cosine",
      maxGradNorm: 0.5,
      sequenceLength: 64,
      device: "cpu",
      json: true,
    });
  });

  test("the other verbs have the defaults of the contract", () => {
    expect(parseCommand(words("generate --model m --prompt hi"))).toMatchObject({
      maxNewTokens: 100,
      temperature: 0,
      topP: 1,
      topK: 0,
      chat: false,
    });
    expect(parseCommand(words("eval --model m --data d.txt"))).toMatchObject({
      sequenceLength: 256,
      adapter: undefined,
    });
    expect(parseCommand(words("merge --model m --adapter a --out o --dtype bf16"))).toMatchObject({
      dtype: "bf16",
    });
    expect(parseCommand(words("quantize --model m --scheme nf4 --out o"))).toMatchObject({
      scheme: "nf4",
      doubleQuant: false,
      force: false,
    });
    expect(parseCommand(words(finetune))).toMatchObject({ weights: "stored", dryRun: false });
    expect(parseCommand(words(`${finetune} --quantize none --dry-run`))).toMatchObject({
      weights: "floats",
      dryRun: true,
    });
    expect(parseCommand(words(`${finetune} --quantize nf4 --double-quant`))).toMatchObject({
      weights: { scheme: "nf4", doubleQuant: true },
    });
    expect(parseCommand(words("info some/path"))).toMatchObject({ path: "some/path" });
    expect(parseCommand(words("doctor --device webgpu"))).toMatchObject({ device: "webgpu" });
    expect(parseCommand(words("bench --model m --tokens 64 --trace t.json"))).toMatchObject({
      verb: "bench",
      model: "m",
      tokens: 64,
      batchSize: 1,
      rank: 8,
      steps: 5,
      trace: "t.json",
    });
  });

  test("values may begin with a dash", () => {
    expect(parseCommand(["generate", "--model", "m", "--prompt", "- one"])).toMatchObject({
      prompt: "- one",
    });
    expect(parseCommand(["generate", "--model", "m", "--prompt=--two"])).toMatchObject({ prompt: "--two" });
  });

  test("all-linear, --full and --demo", () => {
    expect(parseCommand(words(`${finetune} --target all-linear`))).toMatchObject({
      trained: { target: "all-linear" },
    });
    expect(parseCommand(words(`${finetune} --full`))).toMatchObject({ trained: { kind: "full" } });
    expect(parseCommand(words("finetune --demo"))).toMatchObject({
      source: { demo: true, model: undefined },
    });
  });

  test.each([
    ["", /^the verb must be one of finetune, generate, eval, merge, quantize, info, doctor, bench, got ""/],
    [
      "finetun --model m",
      'the verb must be one of finetune, generate, eval, merge, quantize, info, doctor, bench, got "finetun". Did you mean finetune?',
    ],
    [
      "--json eval",
      'the verb must be one of finetune, generate, eval, merge, quantize, info, doctor, bench, got "--json". The verb comes before its flags.',
    ],
    [`${finetune} --step 3`, "finetune: --step is not a flag of this verb. Did you mean --steps?"],
    [
      `${finetune} --frobnicate 3`,
      "finetune: --frobnicate is not a flag of this verb. See graft finetune --help.",
    ],
    [`${finetune} -x`, "finetune: -x is not a flag of this verb. See graft finetune --help."],
    ["eval --model m --data d.txt --rank 3", /^eval: --rank is not a flag of this verb\./],
    [
      `${finetune} --steps`,
      "finetune: --steps needs a value, got nothing. Write --steps VALUE, or --steps=VALUE where the value begins with dashes.",
    ],
    [
      "generate --prompt --model m",
      "generate: --prompt needs a value, got the flag --model. Write --prompt VALUE, or --prompt=VALUE where the value begins with dashes.",
    ],
    [
      `${finetune} --steps 0`,
      'finetune: --steps must be a whole number of at least 1, got "0". See graft finetune --help.',
    ],
    [
      `${finetune} --steps 1.5`,
      'finetune: --steps must be a whole number of at least 1, got "1.5". See graft finetune --help.',
    ],
    [`${finetune} --rank 0`, /--rank must be a whole number of at least 1, got "0"/],
    [`${finetune} --rank -4`, /--rank must be a whole number of at least 1, got "-4"/],
    [
      `${finetune} --dropout 1`,
      'finetune: --dropout must be a number of at least 0 and below 1, got "1". See graft finetune --help.',
    ],
    [`${finetune} --alpha NaN`, /--alpha must be a number above 0, got "NaN"/],
    [
      `${finetune} --learning-rate Infinity`,
      /--learning-rate must be a number of at least 0, got "Infinity"/,
    ],
    [`${finetune} --learning-rate 1e999`, /--learning-rate must be a number of at least 0, got "1e999"/],
    [`${finetune} --learning-rate 2e-4x`, /got "2e-4x"/],
    [
      `${finetune} --schedule step`,
      'finetune: --schedule must be constant or linear or cosine, got "step". See graft finetune --help.',
    ],
    [
      `${finetune} --device gpu`,
      'finetune: --device must be webgpu or cpu, got "gpu". See graft finetune --help.',
    ],
    [`${finetune} --json=yes`, 'finetune: --json takes no value, got "yes". Write --json alone.'],
    [
      `${finetune} --steps 3 --epochs 1`,
      "finetune: --steps and --epochs exclude each other, got both. Leave one out.",
    ],
    [
      `${finetune} --batch-size 1000000000`,
      'finetune: --batch-size must be a whole number of at least 1 and at most 65536, got "1000000000". See graft finetune --help.',
    ],
    [
      `${finetune} --batch-size 1000 --accumulate 1000`,
      "finetune: --batch-size × --accumulate must be at most 65536 rows a step, got 1000000. Take fewer.",
    ],
    [`${finetune} --seed 1 --seed 2`, "finetune: --seed must stand once, got it twice. Leave one out."],
    [
      `${finetune} --adapter a --rank 4 --target x`,
      "finetune: --adapter brings its own shape, got --rank, --target beside it. Leave out one or the other.",
    ],
    [
      `${finetune} --full --adapter a`,
      "finetune: --full trains every parameter and takes no adapter, got --adapter beside it. Leave out one or the other.",
    ],
    [
      `${finetune} --full --rank 4`,
      /--full trains every parameter and takes no adapter, got --rank beside it/,
    ],
    [`${finetune} --target q_proj,,v_proj`, /--target must be names with a comma between two/],
    [
      `${finetune} extra`,
      'finetune: "extra" is neither a flag nor the value of one. Put a value with spaces in quotes; see graft finetune --help.',
    ],
    ["finetune --model m", /^finetune: --data and --out must be given\. For example: graft finetune/],
    [
      "generate --model m --prompt x --top-p 0",
      'generate: --top-p must be a number above 0 and at most 1, got "0". See graft generate --help.',
    ],
    ["generate --model m --prompt x --top-p 1.01", /--top-p must be/],
    ["info", "info: a path must be given. For example: graft info my-adapter"],
    ["info a b", /"b" is neither a flag/],
    ["eval --model= --data d.txt", 'eval: --model must be a path, got "". See graft eval --help.'],
  ])("%s is wrong usage", (line, message) => {
    const parse = () => parseCommand(words(line));
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(typeof message === "string" ? new UsageError(message) : message);
  });

  test("no verb at all is wrong usage", () => {
    expect(() => parseCommand([])).toThrow(
      "a verb was expected (finetune, generate, eval, merge, quantize, info, doctor, bench), got nothing. Try graft --help.",
    );
  });

  test("help of the tool names every verb", () => {
    const help = parseCommand(["--help"]);
    for (const { name } of verbs)
      expect(help).toMatchObject({ verb: "help", text: expect.stringContaining(`  ${name} `) });
  });

  test.each(verbs)("help of $name has every flag, its default and an example", (verb) => {
    const help = parseCommand([verb.name, "--nonsense", "--help"]);
    if (help.verb !== "help") throw new Error("no help");
    for (const flag of verb.flags) expect(help.text.includes(`--${flag.name} `)).toBe(flag.hidden !== true);
    expect(help.text).toContain(`Example:\n  ${verb.example}\n`);
    expect(help.text).not.toContain("--demo");
    const [, ...example] = verb.example.replaceAll(/"[^"]*"/g, "text").split(" ");
    expect(parseCommand(example)).toMatchObject({ verb: verb.name });
  });

  test("help shows defaults", () => {
    const help = parseCommand(["finetune", "--help"]);
    if (help.verb !== "help") throw new Error("no help");
    expect(help.text).toContain("learning rate after the warm-up [0.0002]");
    expect(help.text).toContain(
      "layers that get an adapter, or all-linear; for a GPT-2 c_attn [q_proj,v_proj]",
    );
  });

  test("version is asked for by the tool and by a verb", () => {
    expect(parseCommand(["--version"])).toEqual({ verb: "version" });
    expect(parseCommand(["eval", "--version"])).toEqual({ verb: "version" });
  });
});
