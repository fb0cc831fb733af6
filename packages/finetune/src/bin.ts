#!/usr/bin/env node
// The command `graft`. A verb's code is loaded when it is called, so that --help and wrong usage answer at once.
import type { Command } from "./args/options.ts";
import { parseCommand } from "./args/parse.ts";
import { createOutput } from "./output.ts";
import { type RunContext, run } from "./run.ts";
import { graftVersion } from "./version.ts";

await run(async (context) => {
  const command = parseCommand(process.argv.slice(2));
  await dispatch(command, context);
});

async function dispatch(command: Command, context: RunContext): Promise<void> {
  switch (command.verb) {
    case "help":
      process.stdout.write(command.text);
      return;
    case "version":
      process.stdout.write(`${await graftVersion()}\n`);
      return;
    case "finetune":
      return (await import("./verbs/finetune.ts")).runFinetune(command, createOutput(command.json), context);
    case "eval":
      return (await import("./verbs/eval.ts")).runEval(command, createOutput(command.json));
    case "generate":
      return (await import("./verbs/generate.ts")).runGenerate(command, createOutput(command.json));
    case "merge":
      return (await import("./verbs/merge.ts")).runMerge(command, createOutput(command.json));
    case "info":
      return (await import("./verbs/info.ts")).runInfo(command, createOutput(command.json));
    case "doctor":
      return (await import("./verbs/doctor.ts")).runDoctor(command, createOutput(command.json));
  }
}
