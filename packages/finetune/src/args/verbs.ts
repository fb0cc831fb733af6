import {
  benchFlags,
  commonFlags,
  evalFlags,
  type Flag,
  finetuneFlags,
  generateFlags,
  mergeFlags,
  quantizeFlags,
} from "./flags.ts";

/** What `graft` can do. */
export type VerbName = "finetune" | "generate" | "eval" | "merge" | "quantize" | "info" | "doctor" | "bench";

/** One verb: what its command line may hold and what `--help` says of it. */
export interface Verb {
  readonly name: VerbName;
  readonly summary: string;
  /** Flags in the order of the help page, the common ones left out. */
  readonly flags: readonly Flag[];
  /** Flags without which the verb cannot run. */
  readonly required: readonly string[];
  /** Name of the one argument that is not a flag, where there is one. */
  readonly argument?: string;
  readonly example: string;
}

export const verbs: readonly Verb[] = [
  {
    name: "finetune",
    summary: "train a LoRA adapter (or, with --full, every parameter) on your own text",
    flags: finetuneFlags,
    required: ["model", "data", "out"],
    example: "graft finetune --model SmolLM2-135M-Instruct --data chats.jsonl --out my-adapter --steps 100",
  },
  {
    name: "generate",
    summary: "continue a prompt",
    flags: generateFlags,
    required: ["model", "prompt"],
    example:
      'graft generate --model SmolLM2-135M-Instruct --adapter my-adapter --chat --prompt "Who are you?"',
  },
  {
    name: "eval",
    summary: "loss and perplexity of a model on a file",
    flags: evalFlags,
    required: ["model", "data"],
    example: "graft eval --model SmolLM2-135M-Instruct --adapter my-adapter --data test.jsonl",
  },
  {
    name: "merge",
    summary: "write the model with an adapter merged into its weights",
    flags: mergeFlags,
    required: ["model", "adapter", "out"],
    example: "graft merge --model SmolLM2-135M-Instruct --adapter my-adapter --out merged --dtype f16",
  },
  {
    name: "quantize",
    summary: "write the model with its linear layers in 8 or 4 bits",
    flags: quantizeFlags,
    required: ["model", "scheme", "out"],
    example: "graft quantize --model SmolLM2-135M-Instruct --scheme nf4 --double-quant --out SmolLM2-nf4",
  },
  {
    name: "info",
    summary: "what a model, adapter or weight file holds",
    flags: [],
    required: [],
    argument: "path",
    example: "graft info my-adapter",
  },
  {
    name: "doctor",
    summary: "which device is used and why, how fast it is, and what would improve it",
    flags: [],
    required: [],
    example: "graft doctor",
  },
  {
    name: "bench",
    summary: "how long a training step of a model takes here, and which kernels take it",
    flags: benchFlags,
    required: ["model"],
    example: "graft bench --model SmolLM2-135M-Instruct --tokens 128",
  },
];

/** The verb of that name, or undefined. */
export function findVerb(name: string): Verb | undefined {
  return verbs.find((verb) => verb.name === name);
}

/** All flags that a verb takes. */
export function flagsOf(verb: Verb): readonly Flag[] {
  return [...verb.flags, ...commonFlags];
}
