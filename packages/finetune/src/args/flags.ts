// Every flag of the command once: its name, kind, default, help, and which values it takes.

/** The values a number may have. */
export interface Range {
  /** Smallest value allowed. */
  readonly min?: number;
  /** Largest value allowed. */
  readonly max?: number;
  /** The value must be larger than this. */
  readonly above?: number;
  /** The value must be smaller than this. */
  readonly below?: number;
}

interface Common {
  /** Without the two dashes. */
  readonly name: string;
  /** One line for `--help`. */
  readonly help: string;
  /** Not listed by `--help`. */
  readonly hidden?: boolean;
}

export type Flag =
  | (Common & { readonly kind: "switch" })
  | (Common & {
      readonly kind: "text";
      readonly value: string;
      readonly default?: string;
      readonly empty?: boolean;
    })
  | (Common & { readonly kind: "list"; readonly value: string; readonly default: readonly string[] })
  | (Common & {
      readonly kind: "choice";
      readonly choices: readonly string[];
      readonly default?: string;
      readonly defaultHelp?: string;
    })
  | (Common & { readonly kind: "integer" | "number"; readonly range: Range; readonly default?: number });

/** Rows that one step may take: far beyond any use, and what a slip of the keys asks for is refused at once. */
export const MAX_ROWS = 1 << 16;

/** Seeds stay exact in JSON and in the generator. */
const MAX_SEED = Number.MAX_SAFE_INTEGER;

const model: Flag = { name: "model", kind: "text", value: "PATH", help: "Hugging Face folder or .gguf file" };
const adapter: Flag = {
  name: "adapter",
  kind: "text",
  value: "FOLDER",
  help: "PEFT adapter folder to put on the model",
};
const data: Flag = {
  name: "data",
  kind: "text",
  value: "FILE",
  help: ".txt or .jsonl file (text, prompt/completion, messages or input_ids rows)",
};
const out: Flag = {
  name: "out",
  kind: "text",
  value: "FOLDER",
  help: "folder to write; refused if it exists and is not empty",
};
const force: Flag = { name: "force", kind: "switch", help: "replace an --out folder that is not empty" };
const tokenizer: Flag = {
  name: "tokenizer",
  kind: "text",
  value: "FILE",
  help: "tokenizer.json to use instead of the model's own",
};
const sequenceLength: Flag = {
  name: "sequence-length",
  kind: "integer",
  range: { min: 2 },
  default: 256,
  help: "tokens per row; longer rows are cut there",
};

const doubleQuant: Flag = {
  name: "double-quant",
  kind: "switch",
  help: "of nf4 and fp4: keep the scales in 8 bits too",
};

export const finetuneFlags: readonly Flag[] = [
  model,
  data,
  out,
  { ...adapter, help: "start from this PEFT adapter instead of a new one" },
  { name: "rank", kind: "integer", range: { min: 1 }, default: 8, help: "rank of a new adapter" },
  {
    name: "alpha",
    kind: "number",
    range: { above: 0 },
    default: 16,
    help: "strength of a new adapter; its scale is alpha / rank",
  },
  {
    name: "dropout",
    kind: "number",
    range: { min: 0, below: 1 },
    default: 0,
    help: "share of the adapter's inputs that is dropped in training",
  },
  {
    name: "target",
    kind: "list",
    value: "NAMES",
    default: ["q_proj", "v_proj"],
    help: "layers that get an adapter, or all-linear; for a GPT-2 c_attn",
  },
  { name: "steps", kind: "integer", range: { min: 1 }, help: "optimiser steps (instead of --epochs)" },
  { name: "epochs", kind: "number", range: { above: 0 }, default: 1, help: "passes over the data" },
  {
    name: "batch-size",
    kind: "integer",
    range: { min: 1, max: MAX_ROWS },
    default: 1,
    help: "rows per forward pass",
  },
  {
    name: "accumulate",
    kind: "integer",
    range: { min: 1, max: MAX_ROWS },
    default: 1,
    help: "forward passes per step",
  },
  sequenceLength,
  {
    name: "learning-rate",
    kind: "number",
    range: { min: 0 },
    default: 2e-4,
    help: "learning rate after the warm-up",
  },
  {
    name: "schedule",
    kind: "choice",
    choices: ["constant", "linear", "cosine"],
    default: "linear",
    help: "how the learning rate falls",
  },
  {
    name: "warmup-steps",
    kind: "integer",
    range: { min: 0 },
    default: 0,
    help: "steps over which the learning rate rises",
  },
  {
    name: "weight-decay",
    kind: "number",
    range: { min: 0 },
    default: 0,
    help: "decoupled decay on every trained parameter",
  },
  {
    name: "max-grad-norm",
    kind: "number",
    range: { min: 0 },
    default: 1,
    help: "norm the gradient is clipped to; 0 switches clipping off",
  },
  { name: "no-shuffle", kind: "switch", help: "rows in file order, starting again at the end" },
  { name: "eval-data", kind: "text", value: "FILE", help: "file to evaluate on during training" },
  { name: "full", kind: "switch", help: "train every parameter instead of an adapter" },
  {
    name: "quantize",
    kind: "choice",
    choices: ["nf4", "fp4", "int8", "int4", "none"],
    defaultHelp: "as the model is stored",
    help: "bits in which the linear layers lie in memory (QLoRA); none widens packed ones",
  },
  doubleQuant,
  { name: "dry-run", kind: "switch", help: "print the memory that training takes, by part, and stop" },
  tokenizer,
  force,
  { name: "demo", kind: "switch", hidden: true, help: "the embedded model and text, for npm run finetune" },
];

export const evalFlags: readonly Flag[] = [model, adapter, data, sequenceLength, tokenizer];

export const generateFlags: readonly Flag[] = [
  model,
  adapter,
  { name: "prompt", kind: "text", value: "TEXT", empty: true, help: "text to continue" },
  {
    name: "max-new-tokens",
    kind: "integer",
    range: { min: 1 },
    default: 100,
    help: "tokens after which generation ends",
  },
  {
    name: "temperature",
    kind: "number",
    range: { min: 0 },
    default: 0,
    help: "0 takes the likeliest token, larger draws more freely",
  },
  {
    name: "top-p",
    kind: "number",
    range: { above: 0, max: 1 },
    default: 1,
    help: "draw from the likeliest tokens that reach this probability",
  },
  {
    name: "top-k",
    kind: "integer",
    range: { min: 0 },
    default: 0,
    help: "draw from this many likeliest tokens; 0 is all",
  },
  { name: "chat", kind: "switch", help: "put the prompt through the model's chat template" },
  tokenizer,
];

export const mergeFlags: readonly Flag[] = [
  model,
  adapter,
  out,
  {
    name: "dtype",
    kind: "choice",
    choices: ["f32", "f16", "bf16"],
    defaultHelp: "as the model",
    help: "number format of the weights written",
  },
  tokenizer,
  force,
];

export const quantizeFlags: readonly Flag[] = [
  model,
  {
    name: "scheme",
    kind: "choice",
    choices: ["int8", "int4", "nf4", "fp4"],
    help: "bits of the linear layers; transformers with bitsandbytes reads all but int4",
  },
  out,
  doubleQuant,
  tokenizer,
  force,
];

export const benchFlags: readonly Flag[] = [
  model,
  { name: "tokens", kind: "integer", range: { min: 2 }, default: 128, help: "tokens of a row" },
  {
    name: "batch-size",
    kind: "integer",
    range: { min: 1, max: MAX_ROWS },
    default: 1,
    help: "rows of a step",
  },
  {
    name: "rank",
    kind: "integer",
    range: { min: 1 },
    default: 8,
    help: "rank of the adapter on all linear layers",
  },
  { name: "steps", kind: "integer", range: { min: 1 }, default: 5, help: "steps that are timed" },
  {
    name: "trace",
    kind: "text",
    value: "FILE",
    help: "write one step as a trace that Perfetto (ui.perfetto.dev) opens; replaces the file",
  },
];

/** Flags that every verb takes. */
export const commonFlags: readonly Flag[] = [
  {
    name: "device",
    kind: "choice",
    choices: ["webgpu", "cpu"],
    defaultHelp: "a real GPU, else cpu",
    help: "where to compute",
  },
  {
    name: "seed",
    kind: "integer",
    range: { min: 0, max: MAX_SEED },
    default: 0,
    help: "seed of everything random",
  },
  { name: "json", kind: "switch", help: "JSON objects on standard output, one a line" },
  { name: "help", kind: "switch", help: "this page" },
  { name: "version", kind: "switch", help: "the version of graft" },
];
