// The folders of tools/golden/data/quant_models: models that transformers quantized with bitsandbytes and saved.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bytesSource, openCheckpoint, openSafetensors, type SafetensorsFile } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import { openPackedFile, type PackedFile } from "../../src/files/packedFile.ts";
import { type QuantizationConfig, readQuantizationConfig } from "../../src/files/quantizationConfig.ts";

export const data = fileURLToPath(new URL("../../../../tools/golden/data/", import.meta.url));
const folder = `${data}quant_models/`;

/** What a case's JSON says. */
export interface QuantCase {
  /** The dense model, for example `"models/llama-odd"`. */
  readonly source: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Paths of the layers that are packed. */
  readonly quantized: readonly string[];
  readonly loss: number;
}

export const names = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.slice(0, -".json".length));

export function caseOf(name: string): QuantCase {
  const json = JSON.parse(readFileSync(`${folder}${name}.json`, "utf8"));
  return { ...json, source: json.source ?? `quant_models/${name}.source` };
}

export function configJsonOf(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(`${data}${path}/config.json`, "utf8"));
}

export function openFolder(path: string): Promise<SafetensorsFile> {
  return openCheckpoint(folderOpener(`${data}${path}`));
}

export interface OpenedCase {
  readonly config: QuantizationConfig | undefined;
  readonly file: SafetensorsFile;
  readonly packed: PackedFile;
  readonly expected: SafetensorsFile;
}

export async function openCase(name: string): Promise<OpenedCase> {
  const config = readQuantizationConfig(configJsonOf(`quant_models/${name}`));
  const file = await openFolder(`quant_models/${name}`);
  const expected = await openSafetensors(bytesSource(readFileSync(`${folder}${name}.expect.safetensors`)));
  return { config, file, packed: await openPackedFile(file, config), expected };
}

export async function floatsOf(file: SafetensorsFile, name: string): Promise<Float32Array> {
  return new Float32Array((await file.readBytes(name)).slice().buffer);
}
