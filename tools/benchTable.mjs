// Makes the README's tables of times from files of benchmarks/results: `node tools/benchTable.mjs` rewrites what stands
// between a line `<!-- benchmarks FILE SUITE... -->` and the next `<!-- /benchmarks -->`; with a file's name it takes that.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const repository = new URL("../", import.meta.url);
const section = /(<!-- benchmarks (\S+) ([\w ]+) -->\n)[\s\S]*?(<!-- \/benchmarks -->)/g;

/** What `text` should be, every table made anew from its file. `read` gives the parsed results of a file name. */
export function withTables(text, read) {
  return text.replace(
    section,
    (_, start, file, suites, end) => `${start}${table(read(file), suites.split(" "))}${end}`,
  );
}

/** A table of the suites, in the order asked for, and a line on where it was measured. */
export function table({ date, machine, results }, suites) {
  const lines = [
    "| benchmark | median | spread | time against the first | GFLOP/s | dispatches | MB |",
    "| --- | --: | --: | --: | --: | --: | --: |",
  ];
  for (const suite of suites) {
    const own = results.filter((result) => result.suite === suite);
    if (own.length === 0) throw new Error(`benchTable: the results must hold suite "${suite}", got none.`);
    for (const result of own) lines.push(row(result));
  }
  const { adapter, cpu, cores, node } = machine;
  const shown = results.filter(({ suite }) => suites.includes(suite));
  const rounds = Math.min(...shown.map(({ ms }) => ms.length));
  const commits = [...new Set(shown.map(({ commit }) => commit))];
  lines.push(
    "",
    `${date}, ${adapter ? `${adapter}, ` : ""}${cpu} with ${cores} cores, Node ${node.replace(/^v/, "")}, commit ${commits.join(" and ")}; medians of ${rounds} interleaved rounds.`,
    `Again: \`npm run bench:peers\`, then \`npm run bench -- --suite ${suites.join(",")} --write\` and \`node tools/benchTable.mjs\`.`,
    "",
  );
  return lines.join("\n");
}

function row(result) {
  const { suite, case: name, median, spread, speedup, gflops, dispatches, bytes, rest, note } = result;
  const { tokensPerSecond } = result;
  const extra = [
    ...(rest === undefined ? [] : [`${time(rest)} over the forward`]),
    ...(tokensPerSecond === undefined ? [] : [`${digits(tokensPerSecond, 3)} tokens/s`]),
    ...(note === undefined ? [] : [note]),
  ];
  const cells = [
    `${suite}: ${name}${extra.length === 0 ? "" : ` (${extra.join(", ")})`}`,
    time(median),
    `${Math.round(spread * 100)} %`,
    speedup === 1 ? "1" : digits(1 / speedup, 3),
    gflops === undefined ? "" : digits(gflops, 3),
    dispatches ?? "",
    bytes === undefined ? "" : digits(bytes / 1e6, 3),
  ];
  return `| ${cells.join(" | ")} |`;
}

function time(ms) {
  return ms < 1000 ? `${digits(ms, 3)} ms` : `${digits(ms / 1000, 3)} s`;
}

/** So many significant digits, without an exponent. */
function digits(value, count) {
  return String(Number(value.toPrecision(count)));
}

export function readResults(name) {
  return JSON.parse(readFileSync(new URL(`benchmarks/results/${name}`, repository), "utf8"));
}

export const readme = new URL("README.md", repository);

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [, , file] = process.argv;
  const text = readFileSync(readme, "utf8");
  const named = file === undefined ? text : text.replace(/(<!-- benchmarks )\S+/g, `$1${file}`);
  writeFileSync(readme, withTables(named, readResults));
}
