import type { FileScheme, QuantizeOptions } from "@graft/quant";
import { UsageError } from "../errors.ts";
import { MAX_ROWS } from "./flags.ts";
import type { Values } from "./values.ts";

/** Here rather than from quant, so that --help and wrong usage load no library. */
const fileSchemes: readonly FileScheme[] = ["int8", "int4", "nf4", "fp4"];

/** Flags that every verb takes. */
export interface CommonOptions {
  /** Undefined: a real GPU, else the CPU device with a notice. */
  readonly device: "webgpu" | "cpu" | undefined;
  readonly seed: number;
  readonly json: boolean;
}

/** What is trained: a new adapter, an adapter that exists, or every parameter. */
export type Trained =
  | {
      readonly kind: "new";
      readonly rank: number;
      readonly alpha: number;
      readonly dropout: number;
      readonly target: readonly string[] | "all-linear";
    }
  | { readonly kind: "from"; readonly adapter: string }
  | { readonly kind: "full" };

/** Where the model, the data and the result are; `--demo` brings defaults for all three. */
export type FinetuneSource =
  | { readonly demo: false; readonly model: string; readonly data: string; readonly out: string }
  | { readonly demo: true; readonly model?: string; readonly data?: string; readonly out?: string };

export interface FinetuneOptions extends CommonOptions {
  readonly verb: "finetune";
  readonly source: FinetuneSource;
  readonly evalData: string | undefined;
  readonly tokenizer: string | undefined;
  readonly force: boolean;
  readonly trained: Trained;
  /** Either the number of steps or of passes over the data. */
  readonly length: { readonly steps: number } | { readonly epochs: number };
  readonly batchSize: number;
  readonly accumulate: number;
  readonly sequenceLength: number;
  readonly learningRate: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  readonly weightDecay: number;
  /** 0: no clipping. */
  readonly maxGradNorm: number;
  readonly shuffle: boolean;
  /** What the linear layers are made from: as the model is stored, floats, or a scheme. */
  readonly weights: "stored" | "floats" | QuantizeOptions;
  /** Only say what training would take. */
  readonly dryRun: boolean;
  /** Flags that stood on the command line, so that `--demo` knows what to leave alone. */
  readonly given: (flag: string) => boolean;
}

export interface EvalOptions extends CommonOptions {
  readonly verb: "eval";
  readonly model: string;
  readonly adapter: string | undefined;
  readonly data: string;
  readonly sequenceLength: number;
  readonly tokenizer: string | undefined;
}

export interface GenerateOptions extends CommonOptions {
  readonly verb: "generate";
  readonly model: string;
  readonly adapter: string | undefined;
  readonly prompt: string;
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly chat: boolean;
  readonly tokenizer: string | undefined;
}

export interface MergeOptions extends CommonOptions {
  readonly verb: "merge";
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
  /** Undefined: the dtype of the base. */
  readonly dtype: "f32" | "f16" | "bf16" | undefined;
  readonly tokenizer: string | undefined;
  readonly force: boolean;
}

export interface QuantizeCommandOptions extends CommonOptions {
  readonly verb: "quantize";
  readonly model: string;
  readonly scheme: FileScheme;
  readonly doubleQuant: boolean;
  readonly out: string;
  readonly tokenizer: string | undefined;
  readonly force: boolean;
}

export interface InfoOptions extends CommonOptions {
  readonly verb: "info";
  readonly path: string;
}

export interface DoctorOptions extends CommonOptions {
  readonly verb: "doctor";
}

export interface BenchOptions extends CommonOptions {
  readonly verb: "bench";
  readonly model: string;
  /** Of a row. */
  readonly tokens: number;
  readonly batchSize: number;
  readonly rank: number;
  /** That are timed. */
  readonly steps: number;
  /** File for a trace of one step. */
  readonly trace: string | undefined;
}

/** What a command line asks for. */
export type Command =
  | FinetuneOptions
  | EvalOptions
  | GenerateOptions
  | MergeOptions
  | QuantizeCommandOptions
  | InfoOptions
  | DoctorOptions
  | BenchOptions
  | { readonly verb: "help"; readonly text: string }
  | { readonly verb: "version" };

function common(values: Values): CommonOptions {
  const device = values.text("device");
  return {
    device: device === "webgpu" || device === "cpu" ? device : undefined,
    seed: values.number("seed"),
    json: values.on("json"),
  };
}

export function finetuneOptions(values: Values): FinetuneOptions {
  if (values.has("steps") && values.has("epochs")) {
    throw new UsageError("finetune: --steps and --epochs exclude each other, got both. Leave one out.");
  }
  const schedule = values.text("schedule");
  const rows = values.number("batch-size") * values.number("accumulate");
  if (rows > MAX_ROWS) {
    throw new UsageError(
      `finetune: --batch-size × --accumulate must be at most ${MAX_ROWS} rows a step, got ${rows}. Take fewer.`,
    );
  }
  return {
    verb: "finetune",
    ...common(values),
    source: values.on("demo")
      ? { demo: true, model: values.text("model"), data: values.text("data"), out: values.text("out") }
      : {
          demo: false,
          model: values.needText("model"),
          data: values.needText("data"),
          out: values.needText("out"),
        },
    evalData: values.text("eval-data"),
    tokenizer: values.text("tokenizer"),
    force: values.on("force"),
    trained: trained(values),
    length: values.has("steps") ? { steps: values.number("steps") } : { epochs: values.number("epochs") },
    batchSize: values.number("batch-size"),
    accumulate: values.number("accumulate"),
    sequenceLength: values.number("sequence-length"),
    learningRate: values.number("learning-rate"),
    schedule: schedule === "constant" || schedule === "cosine" ? schedule : "linear",
    warmupSteps: values.number("warmup-steps"),
    weightDecay: values.number("weight-decay"),
    maxGradNorm: values.number("max-grad-norm"),
    shuffle: !values.on("no-shuffle"),
    weights: weightsOf(values),
    dryRun: values.on("dry-run"),
    given: (flag) => values.has(flag),
  };
}

/** `--quantize` and `--double-quant`. */
function weightsOf(values: Values): FinetuneOptions["weights"] {
  const scheme = values.text("quantize");
  if (scheme !== undefined && scheme !== "none" && values.on("full"))
    throw new UsageError(
      `finetune: --full trains every parameter, which packed weights cannot, got --quantize ${scheme} beside it. Leave out one or the other.`,
    );
  const doubleQuant = doubleQuantOf(values, "finetune", "--quantize", scheme);
  if (scheme === undefined) return "stored";
  return scheme === "none" ? "floats" : { scheme, doubleQuant };
}

function doubleQuantOf(values: Values, verb: string, flag: string, scheme: string | undefined): boolean {
  if (!values.on("double-quant") || scheme === "nf4" || scheme === "fp4") return values.on("double-quant");
  throw new UsageError(
    `${verb}: --double-quant goes with ${flag} nf4 or fp4, got ${scheme === undefined ? "neither" : `${flag} ${scheme}`}. Leave it out, or choose one of them.`,
  );
}

function trained(values: Values): Trained {
  const adapter = values.text("adapter");
  const full = values.on("full");
  const shaping = ["rank", "alpha", "dropout", "target"]
    .filter((name) => values.has(name))
    .map((name) => `--${name}`);
  if (full && (adapter !== undefined || shaping.length > 0)) {
    const others = adapter === undefined ? shaping : ["--adapter", ...shaping];
    throw new UsageError(
      `finetune: --full trains every parameter and takes no adapter, got ${others.join(", ")} beside it. Leave out one or the other.`,
    );
  }
  if (adapter !== undefined && shaping.length > 0) {
    throw new UsageError(
      `finetune: --adapter brings its own shape, got ${shaping.join(", ")} beside it. Leave out one or the other.`,
    );
  }
  if (full) return { kind: "full" };
  if (adapter !== undefined) return { kind: "from", adapter };
  const names = values.list("target");
  const target = names[0] === "all-linear" ? "all-linear" : names;
  return {
    kind: "new",
    rank: values.number("rank"),
    alpha: values.number("alpha"),
    dropout: values.number("dropout"),
    target,
  };
}

export function evalOptions(values: Values): EvalOptions {
  return {
    verb: "eval",
    ...common(values),
    model: values.needText("model"),
    adapter: values.text("adapter"),
    data: values.needText("data"),
    sequenceLength: values.number("sequence-length"),
    tokenizer: values.text("tokenizer"),
  };
}

export function generateOptions(values: Values): GenerateOptions {
  return {
    verb: "generate",
    ...common(values),
    model: values.needText("model"),
    adapter: values.text("adapter"),
    prompt: values.needText("prompt"),
    maxNewTokens: values.number("max-new-tokens"),
    temperature: values.number("temperature"),
    topP: values.number("top-p"),
    topK: values.number("top-k"),
    chat: values.on("chat"),
    tokenizer: values.text("tokenizer"),
  };
}

export function mergeOptions(values: Values): MergeOptions {
  const dtype = values.text("dtype");
  return {
    verb: "merge",
    ...common(values),
    model: values.needText("model"),
    adapter: values.needText("adapter"),
    out: values.needText("out"),
    dtype: dtype === "f32" || dtype === "f16" || dtype === "bf16" ? dtype : undefined,
    tokenizer: values.text("tokenizer"),
    force: values.on("force"),
  };
}

export function quantizeOptions(values: Values): QuantizeCommandOptions {
  const scheme = fileSchemes.find((name) => name === values.text("scheme"));
  if (scheme === undefined) throw new Error("internal: --scheme was not checked");
  return {
    verb: "quantize",
    ...common(values),
    model: values.needText("model"),
    scheme,
    doubleQuant: doubleQuantOf(values, "quantize", "--scheme", scheme),
    out: values.needText("out"),
    tokenizer: values.text("tokenizer"),
    force: values.on("force"),
  };
}

export function infoOptions(values: Values, path: string): InfoOptions {
  return { verb: "info", ...common(values), path };
}

export function doctorOptions(values: Values): DoctorOptions {
  return { verb: "doctor", ...common(values) };
}

export function benchOptions(values: Values): BenchOptions {
  return {
    verb: "bench",
    ...common(values),
    model: values.needText("model"),
    tokens: values.number("tokens"),
    batchSize: values.number("batch-size"),
    rank: values.number("rank"),
    steps: values.number("steps"),
    trace: values.text("trace"),
  };
}
