// Runs the command inside the test's own process, and makes the small models that it is run on.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  bytesSource,
  openSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { afterAll } from "vitest";
import { execute } from "../src/command.ts";
import { exitCodeOf, messageOf } from "../src/message.ts";

/** What a command said and how it ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** The JSON lines of standard output. */
  readonly lines: Record<string, unknown>[];
}

export const graft = (...words: string[]): Promise<Ended> => graftUntil(undefined, ...words);

/**
 * As `graft`, with a Ctrl-C once standard output holds `stop`. The status is what `run` would then end with.
 */
export async function graftUntil(stop: string | undefined, ...words: string[]): Promise<Ended> {
  const controller = new AbortController();
  let out = "";
  let err = "";
  let code = 0;
  try {
    await execute(
      words,
      { handleInterrupt: () => controller.signal },
      {
        stdout: {
          write: (text) => {
            out += text;
            if (stop !== undefined && out.includes(stop)) controller.abort();
          },
        },
        stderr: { write: (text) => (err += text) },
      },
    );
    if (controller.signal.aborted) code = 130;
  } catch (error) {
    code = exitCodeOf(error);
    err += `${messageOf(error)}\n`;
  }
  const lines = words.includes("--json")
    ? out
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line))
    : [];
  return { code, out, err, lines };
}

/** The message of a command that must fail with that status, having written nothing to standard output. */
export async function failure(code: number, ...words: string[]): Promise<string> {
  const ended = await graft(...words);
  if (ended.code !== code || ended.out !== "")
    throw new Error(`expected exit ${code} and no result, got ${JSON.stringify(ended)}`);
  const messages = ended.err.split("\n").filter((line) => line.startsWith("graft: "));
  if (messages.length !== 1 || messages[0].length >= 900)
    throw new Error(`expected one short message, got ${ended.err}`);
  return messages[0];
}

export const golden = (name: string): string =>
  fileURLToPath(new URL(`../../../tools/golden/data/${name}`, import.meta.url));

/** A folder that is removed when the tests of the file are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "graft-test-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** The tensors of a safetensors file as numbers with their shape. */
export async function readTensors(
  path: string,
): Promise<
  Map<
    string,
    { readonly shape: readonly number[]; readonly dtype: string; readonly values: Float32Array | Int32Array }
  >
> {
  const file = await openSafetensors(bytesSource(readFileSync(path)));
  const tensors = new Map();
  for (const [name, { shape, dtype }] of file.tensors) {
    const { buffer, byteOffset, byteLength } = await file.readBytes(name);
    const values =
      dtype === "I32"
        ? new Int32Array(buffer, byteOffset, byteLength / 4)
        : dtype === "F32"
          ? new Float32Array(buffer, byteOffset, byteLength / 4)
          : new Uint16Array(buffer, byteOffset, byteLength / 2);
    tensors.set(name, { shape, dtype, values });
  }
  return tensors;
}

/** Copies a golden model and changes its weights or its configuration. */
export async function changedModel(
  from: string,
  to: string,
  change: { readonly config?: object; readonly weight?: (name: string, values: Float32Array) => void },
): Promise<string> {
  cpSync(from, to, { recursive: true });
  const configFile = join(to, "config.json");
  writeFileSync(
    configFile,
    JSON.stringify({ ...JSON.parse(readFileSync(configFile, "utf8")), ...change.config }),
  );
  if (change.weight === undefined) return to;
  const path = join(to, "model.safetensors");
  const tensors: SafetensorsTensor[] = [];
  for (const [name, { shape, values }] of await readTensors(path)) {
    const copy = Float32Array.from(values);
    change.weight(name, copy);
    tensors.push({ name, dtype: "F32", shape, bytes: new Uint8Array(copy.buffer) });
  }
  writeFileSync(path, serializeSafetensors(tensors));
  return to;
}

export function writeFiles(folder: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

export function jsonl(path: string, rows: readonly object[]): string {
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}
