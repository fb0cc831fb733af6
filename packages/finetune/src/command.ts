import type { Command } from "./args/options.ts";
import { parseCommand } from "./args/parse.ts";
import { createOutput, type Output, type Sink } from "./output.ts";
import type { RunContext } from "./run.ts";
import { graftVersion } from "./version.ts";

/** Where a command writes. Default: the process's own streams. */
export interface Streams {
  readonly stdout?: Sink;
  readonly stderr?: Sink;
}

/**
 * Does what the words after `graft` say. A verb's code is loaded when it is called, so that --help and wrong usage
 * answer at once.
 * @throws the error of which `run` makes a message and an exit status
 */
export async function execute(
  words: readonly string[],
  context: RunContext,
  { stdout = process.stdout, stderr = process.stderr }: Streams = {},
): Promise<void> {
  const command = parseCommand(words);
  if (command.verb === "help") stdout.write(command.text);
  else if (command.verb === "version") stdout.write(`${await graftVersion()}\n`);
  else await runVerb(command, createOutput(command.json, stdout, stderr), context);
}

type VerbCommand = Exclude<Command, { readonly verb: "help" | "version" }>;

async function runVerb(command: VerbCommand, output: Output, context: RunContext): Promise<void> {
  switch (command.verb) {
    case "finetune":
      return (await import("./verbs/finetune.ts")).runFinetune(command, output, context);
    case "eval":
      return (await import("./verbs/eval.ts")).runEval(command, output);
    case "generate":
      return (await import("./verbs/generate.ts")).runGenerate(command, output);
    case "merge":
      return (await import("./verbs/merge.ts")).runMerge(command, output);
    case "quantize":
      return (await import("./verbs/quantize.ts")).runQuantize(command, output);
    case "info":
      return (await import("./verbs/info.ts")).runInfo(command, output);
    case "doctor":
      return (await import("./verbs/doctor.ts")).runDoctor(command, output);
    case "bench":
      return (await import("./verbs/bench.ts")).runBench(command, output);
  }
}
