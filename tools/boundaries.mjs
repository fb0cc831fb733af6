// Checks which file may import which:
// - packages depend in one direction, tensor <- nn <- {lora, quant} <- finetune, and name each other as packages;
// - a file never imports the index of its own package, so that the index holds exports and nothing depends on it;
// - no file reaches itself by imports that exist at run time (cycles of types alone are harmless).
import { pathToFileURL } from "node:url";
import { importsOf, resolveRelative, sourceFiles } from "./lib/imports.mjs";

const allowed = {
  tensor: [],
  nn: ["tensor"],
  lora: ["tensor", "nn"],
  quant: ["tensor", "nn"],
  finetune: ["tensor", "nn", "lora", "quant"],
};

/** Every broken rule, one line each. */
export function findProblems() {
  const graph = new Map();
  const problems = [];
  for (const file of sourceFiles()) {
    const name = file.split("/")[1];
    const edges = [];
    for (const { specifier, typeOnly } of importsOf(file)) {
      if (specifier.startsWith(".")) {
        const target = resolveRelative(file, specifier);
        problems.push(...relativeProblems(file, name, specifier, target));
        if (target && !typeOnly) edges.push(target);
      } else {
        problems.push(...packageProblems(file, name, specifier));
      }
    }
    graph.set(file, edges);
  }
  return [...problems, ...findCycles(graph).map((cycle) => `cycle: ${cycle.join(" -> ")}`)];
}

export function relativeProblems(file, name, specifier, target) {
  if (!specifier.endsWith(".ts") && !specifier.endsWith(".json")) {
    return [`${file}: "${specifier}" must end in .ts`];
  }
  if (!target) return [`${file}: "${specifier}" names no file`];
  if (!target.startsWith(`packages/${name}/`)) {
    return [`${file}: "${specifier}" leaves the package; import it by its package name`];
  }
  if (target === `packages/${name}/src/index.ts`) {
    return [`${file}: "${specifier}" is the index of its own package; import the file that defines the name`];
  }
  return [];
}

export function packageProblems(file, name, specifier) {
  const other = /^@graft\/([^/]+)/.exec(specifier)?.[1];
  if (other === undefined) return [];
  if (other === name)
    return [`${file}: "${specifier}" is its own package; import the file by a relative path`];
  if (!allowed[name]?.includes(other)) return [`${file}: ${name} must not import ${other}`];
  return [];
}

// Depth first; a file met again while it is still open closes a cycle.
export function findCycles(graph) {
  const state = new Map();
  const open = [];
  const cycles = [];
  const visit = (file) => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      cycles.push([...open.slice(open.indexOf(file)), file]);
      return;
    }
    state.set(file, "open");
    open.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    open.pop();
    state.set(file, "done");
  };
  for (const file of graph.keys()) visit(file);
  return cycles;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const problems = findProblems();
  for (const problem of problems) console.error(problem);
  console.log(`boundaries: ${sourceFiles().length} files, ${problems.length} problems`);
  process.exit(problems.length === 0 ? 0 : 1);
}
