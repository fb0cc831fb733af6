import { readdir, stat } from "node:fs/promises";
import { basename } from "node:path";
import {
  openCheckpoint,
  openGguf,
  openSafetensors,
  refusePickle,
  type SafetensorsFile,
} from "@graft/nn/checkpoint";
import { fileSource, folderOpener } from "@graft/nn/node";
import { sizeOf } from "@graft/tensor";
import { GraftError, quote } from "../errors.ts";
import { readJsonFile } from "./files.ts";
import { isGguf } from "./magic.ts";

/** One tensor of a file; the dtype is spelled as the file does. */
export interface TensorDescription {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** What a model, an adapter or a file of weights holds. */
export interface FileDescription {
  readonly kind: "model" | "adapter" | "safetensors" | "gguf";
  /** Values of all tensors. */
  readonly parameters: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** The settings that fit on a line each. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: readonly TensorDescription[];
}

/** Reads headers and configuration only, so that it answers at once for a model of any size and kind. */
export async function describeFile(path: string): Promise<FileDescription> {
  const shown = quote(path, 200);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined)
    throw new GraftError(
      `info: ${shown} must be a model, an adapter or a file of weights, got nothing of that name. Check the path.`,
    );
  if (found.isDirectory()) return describeFolder(path);
  if (found.isFile() && path.toLowerCase().endsWith(".safetensors")) {
    const source = await fileSource(path);
    try {
      const file = await openSafetensors(source);
      return described("safetensors", file, Object.fromEntries(file.metadata));
    } finally {
      await source.close?.();
    }
  }
  if (found.isFile() && (await isGguf(path))) return describeGguf(path);
  refusePickle(basename(path));
  throw new GraftError(
    `info: ${shown} must be a folder, a .safetensors file or a .gguf file, got another file. Give the folder of the model or adapter.`,
  );
}

async function describeFolder(path: string): Promise<FileDescription> {
  const names = await readdir(path);
  const adapter = await readJsonFile(path, "adapter_config.json");
  const isModel = names.some((name) => /^model.*\.safetensors(\.index\.json)?$/.test(name));
  if (adapter !== undefined && !isModel) {
    return describeCheckpoint("adapter", path, "adapter_model", adapter);
  }
  const config = await readJsonFile(path, "config.json");
  if (config === undefined) {
    throw new GraftError(
      `info: the folder ${quote(path, 200)} must hold config.json (a model) or adapter_config.json (an adapter), got neither. Give the folder itself, or a file of weights.`,
    );
  }
  return describeCheckpoint("model", path, "model", config);
}

async function describeCheckpoint(
  kind: "model" | "adapter",
  path: string,
  stem: string,
  config: object,
): Promise<FileDescription> {
  const file = await openCheckpoint(folderOpener(path), stem);
  try {
    return described(kind, file, config);
  } finally {
    await file.close();
  }
}

function described(kind: FileDescription["kind"], file: SafetensorsFile, config: object): FileDescription {
  const entries = [...file.tensors];
  return {
    kind,
    parameters: entries.reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0),
    bytes: entries.reduce((sum, [, { begin, end }]) => sum + end - begin, 0),
    config: inShort(Object.entries(config)),
    tensors: entries.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
  };
}

async function describeGguf(path: string): Promise<FileDescription> {
  const source = await fileSource(path);
  try {
    const file = await openGguf(source);
    const tensors = [...file.tensors.values()];
    return {
      kind: "gguf",
      parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      bytes: tensors.reduce((sum, { size }) => sum + size, 0),
      config: inShort(file.metadata),
      tensors: tensors.map(({ name, type, shape }) => ({ name, dtype: type, shape })),
    };
  } finally {
    await source.close?.();
  }
}

/** Longest text and list that is shown. */
const SHORT = { text: 120, list: 16 } as const;

function inShort(entries: Iterable<readonly [string, unknown]>): Record<string, unknown> {
  const kept: [string, unknown][] = [];
  for (const [name, value] of entries) {
    if (typeof value === "string") kept.push([name, cut(value)]);
    else if (typeof value === "number") kept.push([name, Number.isFinite(value) ? value : String(value)]);
    else if (typeof value === "boolean" || typeof value === "bigint") kept.push([name, value]);
    else if (Array.isArray(value) && value.length <= SHORT.list && value.every(isShortItem))
      kept.push([name, value]);
  }
  return Object.fromEntries(kept);
}

function isShortItem(item: unknown): boolean {
  return (typeof item === "string" && item.length <= SHORT.text) || Number.isFinite(item);
}

function cut(text: string): string {
  return text.length > SHORT.text ? `${text.slice(0, SHORT.text)}…` : text;
}
