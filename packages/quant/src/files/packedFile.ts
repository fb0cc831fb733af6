import { safetensorsWeights, type WeightSource } from "@graft/nn";
import { CheckpointError, quote, type SafetensorsEntry, type SafetensorsFile } from "@graft/nn/checkpoint";
import type { Shape } from "@graft/tensor";
import { bnb4bitNames, readBnb4bit, readBnb4bitState } from "../bnb4bit.ts";
import { bnb8bitNames, readBnb8bit } from "../bnb8bit.ts";
import { dequantize } from "../dequantize.ts";
import type { Packed } from "../scheme.ts";
import { int4Names, readInt4, readInt4Shape } from "./int4File.ts";
import type { QuantizationConfig } from "./quantizationConfig.ts";

/** The weights of a model folder of which some are packed. */
export interface PackedFile {
  /** Every packed weight by name. */
  readonly packed: ReadonlyMap<string, PackedWeight>;
  /** One packed weight, checked. @throws CheckpointError where it is broken */
  read(name: string): Promise<Packed>;
  /** All weights by name; a packed one is widened when it is read as values. */
  readonly weights: WeightSource;
  /** The tensors that are no part of a packed weight. */
  readonly others: ReadonlyMap<string, SafetensorsEntry>;
}

/** What is known of a packed weight before it is read. */
export interface PackedWeight {
  readonly scheme: QuantizationConfig["scheme"];
  readonly shape: Shape;
  readonly doubleQuant: boolean;
}

/**
 * Which weights are packed and how, by what lies in the file; the configuration must say the same.
 *
 * @param config - of `readQuantizationConfig`; undefined where the model's configuration has none
 * @throws CheckpointError that names what contradicts what
 */
export async function openPackedFile(
  file: SafetensorsFile,
  config: QuantizationConfig | undefined,
): Promise<PackedFile> {
  const found = await findPacked(file);
  checkAgainst(file, found, config);
  const read = (name: string): Promise<Packed> => {
    const own = found.get(name);
    if (own === undefined) throw new Error(`internal: ${name} is not packed`);
    return readers[own.scheme](file, name);
  };
  const others = new Map([...file.tensors].filter(([name]) => ownerOf(name, found) === undefined));
  const dense = safetensorsWeights({ ...file, tensors: others });
  const tensors = new Map(dense.tensors);
  for (const [name, { scheme, shape }] of found) tensors.set(name, { shape, type: scheme, packed: true });
  return {
    packed: found,
    read,
    others,
    weights: {
      ...dense,
      tensors,
      types: [...dense.types, "nf4", "fp4", "int8", "int4"],
      read: async (name) => (found.has(name) ? dequantize(await read(name)) : dense.read(name)),
    },
  };
}

const readers: Record<PackedWeight["scheme"], (file: SafetensorsFile, name: string) => Promise<Packed>> = {
  nf4: async (file, name) => (await readBnb4bit(file, name)).packed,
  fp4: async (file, name) => (await readBnb4bit(file, name)).packed,
  int8: readBnb8bit,
  int4: readInt4,
};

/** The packed weights of a file, whatever its configuration says. @throws CheckpointError where one is described wrongly */
export async function findPacked(file: SafetensorsFile): Promise<Map<string, PackedWeight>> {
  const found = new Map<string, PackedWeight>();
  const add = (name: string, own: PackedWeight): void => {
    if (found.has(name))
      throw new CheckpointError(
        "openPackedFile",
        `${file.name}: ${quote(name)} must be packed in one way, got ${found.get(name)?.scheme} and ${own.scheme}.`,
      );
    found.set(name, own);
  };
  for (const name of bnb4bitNames(file)) {
    const { kind, shape, nested } = await readBnb4bitState(file, name);
    add(name, { scheme: kind, shape, doubleQuant: nested !== undefined });
  }
  for (const name of bnb8bitNames(file))
    add(name, { scheme: "int8", shape: file.tensors.get(name)?.shape ?? [], doubleQuant: false });
  for (const name of int4Names(file))
    add(name, { scheme: "int4", shape: await readInt4Shape(file, name), doubleQuant: false });
  return found;
}

/** transformers would read such a folder in one way or another; which one nobody can tell from outside. */
function checkAgainst(
  file: SafetensorsFile,
  found: ReadonlyMap<string, PackedWeight>,
  config: QuantizationConfig | undefined,
): void {
  const fail = (problem: string): Error =>
    new CheckpointError(
      "openPackedFile",
      `${file.name}: ${problem}. Save the model again with transformers, or take its files from one place.`,
    );
  const [first] = found;
  if (config === undefined) {
    if (first !== undefined)
      throw fail(
        `${quote(first[0])} is packed (${first[1].scheme}), but the configuration has no quantization_config`,
      );
    return;
  }
  if (first === undefined)
    throw fail(`no weight is packed, but the configuration has a quantization_config for ${config.scheme}`);
  for (const [name, { scheme, doubleQuant }] of found) {
    if (scheme !== config.scheme)
      throw fail(`${quote(name)} must be ${config.scheme}, as quantization_config says, got ${scheme}`);
    if (doubleQuant !== config.doubleQuant)
      throw fail(
        `${quote(name)} must have ${config.doubleQuant ? "nested" : "plain"} scales, as bnb_4bit_use_double_quant says, got ${doubleQuant ? "nested" : "plain"} ones`,
      );
  }
}

/** The packed weight that a tensor is or is a part of; undefined for other tensors. */
export function ownerOf(name: string, found: ReadonlyMap<string, PackedWeight>): string | undefined {
  // Parts of nf4, fp4 and int4 lie below the weight ("w.weight.absmax"), those of int8 beside it ("w.SCB").
  for (let at = name.length; at > 0; at = name.lastIndexOf(".", at - 1)) {
    const weight = name.slice(0, at);
    const own = found.get(weight);
    if (own !== undefined && (at === name.length || own.scheme !== "int8")) return weight;
  }
  const weight = name.replace(/\.(SCB|weight_format)$/, ".weight");
  return weight !== name && found.get(weight)?.scheme === "int8" ? weight : undefined;
}
