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
import { findPacked, ownerOf } from "@graft/quant";
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

/** A part of the weights. */
export interface PartDescription {
  /** For example "linear layers, nf4". */
  readonly part: string;
  readonly parameters: number;
  /** Scales and tables included. */
  readonly bytes: number;
  readonly bitsPerWeight: number;
}

/** What a model, an adapter or a file of weights holds. */
export interface FileDescription {
  readonly kind: "model" | "adapter" | "safetensors" | "gguf";
  /** Values of all weights; of packed ones what they stand for, not their codes and scales. */
  readonly parameters: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** 8 · bytes / parameters. */
  readonly bitsPerWeight: number;
  /** Linear layers, embedding, output head and the rest, by how they are stored. */
  readonly parts: readonly PartDescription[];
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
      return await described("safetensors", file, Object.fromEntries(file.metadata));
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
    return await described(kind, file, config);
  } finally {
    await file.close();
  }
}

async function described(
  kind: FileDescription["kind"],
  file: SafetensorsFile,
  config: object,
): Promise<FileDescription> {
  const packed = await findPacked(file);
  const entries = [...file.tensors];
  const stored = entries.map(([name, { dtype, shape, begin, end }]): Stored => {
    const owner = ownerOf(name, packed);
    const weight = packed.get(owner ?? "");
    // Of a packed weight the codes count as its values, and scales as no values.
    const parameters = weight === undefined ? sizeOf(shape) : owner === name ? sizeOf(weight.shape) : 0;
    return {
      part: partOf(owner ?? name, weight?.shape ?? shape, kind),
      storage: weight === undefined ? dtype : weight.doubleQuant ? `${weight.scheme} double` : weight.scheme,
      parameters,
      bytes: end - begin,
    };
  });
  return {
    kind,
    ...summed(stored),
    config: inShort(Object.entries(config)),
    tensors: entries.map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
  };
}

interface Stored {
  readonly part: string;
  readonly storage: string;
  readonly parameters: number;
  readonly bytes: number;
}

function summed(
  stored: readonly Stored[],
): Pick<FileDescription, "parameters" | "bytes" | "bitsPerWeight" | "parts"> {
  const parts = new Map<string, { parameters: number; bytes: number }>();
  for (const { part, storage, parameters, bytes } of stored) {
    const name = `${part}, ${storage}`;
    const sum = parts.get(name) ?? { parameters: 0, bytes: 0 };
    parts.set(name, { parameters: sum.parameters + parameters, bytes: sum.bytes + bytes });
  }
  const all = [...parts.values()].reduce(
    (sum, own) => ({ parameters: sum.parameters + own.parameters, bytes: sum.bytes + own.bytes }),
    { parameters: 0, bytes: 0 },
  );
  return {
    ...all,
    bitsPerWeight: bitsOf(all),
    parts: [...parts]
      .map(([part, own]) => ({ part, ...own, bitsPerWeight: bitsOf(own) }))
      .sort((one, other) => other.bytes - one.bytes),
  };
}

function bitsOf({ parameters, bytes }: { readonly parameters: number; readonly bytes: number }): number {
  return parameters === 0 ? 0 : (8 * bytes) / parameters;
}

/** By the names of Hugging Face and GGUF. */
function partOf(name: string, shape: readonly number[], kind: FileDescription["kind"]): string {
  if (kind === "adapter" || name.includes(".lora_")) return "adapter";
  if (/(^|\.)(embed_tokens|token_embd|wte|wpe)\.weight$/.test(name)) return "embedding";
  if (/(^|\.)lm_head\.weight$|^output\.weight$/.test(name)) return "output head";
  return shape.length === 2 ? "linear layers" : "norms and biases";
}

async function describeGguf(path: string): Promise<FileDescription> {
  const source = await fileSource(path);
  try {
    const file = await openGguf(source);
    const tensors = [...file.tensors.values()];
    return {
      kind: "gguf",
      ...summed(
        tensors.map(({ name, type, shape, size }) => ({
          part: partOf(name, shape, "gguf"),
          storage: type,
          parameters: sizeOf(shape),
          bytes: size,
        })),
      ),
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
