#!/usr/bin/env node
// The command `graft`.
import { execute } from "./command.ts";
import { run } from "./run.ts";

await run((context) => execute(process.argv.slice(2), context));
