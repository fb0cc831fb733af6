import { basename } from "node:path";
import { GraftError, ProblemList } from "../errors.ts";
import { encodeRow, type RowEncoder } from "./encode.ts";
import { countTargets, type Dataset, type Example } from "./example.ts";
import { readLines } from "./lines.ts";
import { parseRow, type Row, RowProblem } from "./rows.ts";

export interface JsonlOptions {
  /** Rows longer than this many tokens are cut. */
  readonly sequenceLength: number;
  /** Tokens that the model knows. */
  readonly vocabSize: number;
  /** Loads the tokenizer; called for the first row that needs one. */
  readonly encoder: () => Promise<RowEncoder>;
}

/**
 * Reads the rows of a .jsonl file. Empty lines are passed over.
 * @throws GraftError naming the lines that are wrong (the count and the first three), or where no row or target is left
 */
export async function readJsonl(path: string, options: JsonlOptions): Promise<Dataset> {
  const name = JSON.stringify(basename(path));
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const problems = new ProblemList();
  const examples: Example[] = [];
  let encoder: RowEncoder | undefined;
  let shape: Row["shape"] | undefined;
  let shapeLine = 0;
  let rows = 0;
  let leftOut = 0;
  let cut = 0;
  let targets = 0;
  for await (const { number, bytes } of readLines(path)) {
    try {
      const line = decode(decoder, bytes);
      if (line.trim() === "") continue;
      rows++;
      const row = parseRow(line);
      shape ??= row.shape;
      if (shapeLine === 0) shapeLine = number;
      if (row.shape !== shape)
        throw new RowProblem(`must be of the shape ${shape} as line ${shapeLine} is, got ${row.shape}`);
      if (row.shape !== "input_ids") encoder ??= await options.encoder();
      if (row.shape === "messages") encoder?.chat(); // without a template no row can be read
      const whole = encodeRow(row, options.vocabSize, () => {
        if (encoder === undefined)
          throw new Error("internal: the tokenizer was not loaded. Please report this.");
        return encoder;
      });
      const example = cutRow(whole, options.sequenceLength);
      if (example !== whole) cut++;
      const count = countTargets(example.labels);
      if (count === 0) leftOut++;
      else examples.push({ ...example, row: rows });
      targets += count;
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      problems.add(`line ${number}: ${error.message.replace(/\.$/, "")}.`);
    }
  }
  if (problems.count > 0) throw new GraftError(`data: ${problems.message(name)}`);
  if (rows === 0)
    throw new GraftError(
      `data: ${name} must hold at least one row, got none up to its last line. Put one JSON object on each line.`,
    );
  if (targets === 0) {
    throw new GraftError(
      `data: ${name} must hold at least one target, got none in its ${rows} rows (line ${shapeLine} is the first). A row needs two tokens, and a label other than −100 after the first.`,
    );
  }
  return { examples, rows, leftOut, cut, targets };
}

function decode(decoder: InstanceType<typeof TextDecoder>, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new RowProblem("must be UTF-8 text, got other bytes");
  }
}

function cutRow(example: Example, length: number): Example {
  if (example.inputIds.length <= length) return example;
  const inputIds = example.inputIds.slice(0, length);
  return {
    inputIds,
    labels: example.labels === example.inputIds ? inputIds : example.labels.slice(0, length),
  };
}
