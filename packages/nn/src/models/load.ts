import type { GgufFile } from "../checkpoint/gguf.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { Conv1D } from "../conv1D.ts";
import type { LinearLike } from "../layer.ts";
import { Linear } from "../linear.ts";
import type { Parameter } from "../parameter.ts";
import type { CausalLM } from "./causalLM.ts";
import { familyOf, type ModelConfig, type ModelOf, modelConfigFromHf } from "./families.ts";
import type { LlamaForCausalLM, LlamaOptions } from "./llama.ts";
import { llamaConfigFromGguf, llamaGgufWeights } from "./llamaGguf.ts";
import { UnloadedLinear } from "./unloadedLinear.ts";
import {
  checkWeights,
  fillWeights,
  loadParameter,
  safetensorsWeights,
  type WeightSource,
} from "./weights.ts";

/** A linear layer that is being loaded. */
export interface LinearSlot {
  /** Of the weight, for example `"model.layers.0.mlp.up_proj.weight"`. */
  readonly weight: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** For the new layer to take over; filled already. */
  readonly bias: Parameter | undefined;
  /** Reads the weight as floats, `[outFeatures, inFeatures]` whatever the file has. */
  read(): Promise<Float32Array>;
}

export interface LoadOptions extends Omit<LlamaOptions, "generator" | "linear"> {
  /** Called after each tensor. */
  readonly onTensor?: (done: number, total: number) => void;
  /**
   * Makes a linear layer with its weight, for weights that are packed or shall be; undefined for a dense one. Layers are
   * made one after the other, so that the peak of memory is the loaded model and one tensor.
   */
  readonly linear?: (slot: LinearSlot) => Promise<LinearLike | undefined>;
}

/**
 * A causal language model from the parsed `config.json` and the safetensors of a Hugging Face folder.
 * Names, shapes and the configuration are checked before memory is taken.
 */
export async function loadFromHf(
  configJson: unknown,
  file: SafetensorsFile,
  options: LoadOptions,
): Promise<CausalLM> {
  return loadCausalLM(modelConfigFromHf(configJson), safetensorsWeights(file), options);
}

/** A causal language model from a GGUF file; weights are widened to the dtype of the options. */
export async function loadFromGguf(file: GgufFile, options: LoadOptions): Promise<LlamaForCausalLM> {
  const config = await llamaConfigFromGguf(file);
  return loadCausalLM(config, llamaGgufWeights(file, config), options);
}

/** The weights of a model, checked against its configuration. */
export interface ModelWeights {
  /** Under the model's names; the file may hold more, such as a tied head again. */
  readonly source: WeightSource;
  readonly names: ReadonlySet<string>;
  /** Whether this is the weight of a linear layer, the output head left out. */
  isLinear(name: string): boolean;
  /** Whether it lies turned, `[inFeatures, outFeatures]`. */
  isTurned(name: string): boolean;
}

/**
 * Checks names, shapes and storage types of all weights against the configuration.
 * @throws CheckpointError with all problems
 */
export function modelWeights<C extends ModelConfig>(config: C, weights: WeightSource): ModelWeights {
  const family = familyOf(config);
  const isTurned = (name: string): boolean => family.isTurned && family.isLinear(name);
  const source = turned(prefixed(weights, family.prefix), isTurned);
  const shapes = family.shapes(config);
  checkWeights(source, shapes, (name) => family.mayHold(name, config));
  return { source, names: new Set(shapes.keys()), isLinear: family.isLinear, isTurned };
}

/** A causal language model from weights of any kind under Hugging Face's names, checked before memory is taken. */
export async function loadCausalLM<C extends ModelConfig>(
  config: C,
  weights: WeightSource,
  { onTensor, linear, ...options }: LoadOptions,
): Promise<ModelOf<C>> {
  const family = familyOf(config);
  const { source, isTurned } = modelWeights(config, weights);
  const factory =
    linear &&
    ((...[inFeatures, outFeatures, given]: ConstructorParameters<typeof UnloadedLinear>) =>
      new UnloadedLinear(inFeatures, outFeatures, given));
  const model = family.make(config, { ...options, linear: factory });
  try {
    const slots = [...model.namedModules()].flatMap(([path, module]) =>
      module instanceof UnloadedLinear ? [{ path, module }] : [],
    );
    const filled = model.parameters().length;
    const total = filled + slots.length;
    await fillWeights(model, source, (done) => onTensor?.(done, total));
    for (const [i, { path, module }] of slots.entries()) {
      const { inFeatures, outFeatures, bias, device } = module;
      const weight = `${path}.weight`;
      const isConv = isTurned(weight);
      const read = async (): Promise<Float32Array> => {
        const values = await source.read(weight);
        return isConv ? transposed(values, [inFeatures, outFeatures]) : values;
      };
      const dense = async (): Promise<LinearLike> => {
        const shape = isConv ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
        const parameter = await loadParameter(source, weight, { device, dtype: options.dtype, shape });
        return isConv
          ? new Conv1D(inFeatures, outFeatures, { device, weight: parameter, bias })
          : new Linear(inFeatures, outFeatures, { device, weight: parameter, bias: bias ?? false });
      };
      const made = (await linear?.({ weight, inFeatures, outFeatures, bias, read })) ?? (await dense());
      model.replace(path, made);
      onTensor?.(filled + i + 1, total);
    }
    model.eval();
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

/** The weights with `prefix` in front of every name, where the file leaves it out, as the first GPT-2 checkpoints do. */
function prefixed(source: WeightSource, prefix: string): WeightSource {
  const bare = prefix !== "" && ![...source.tensors.keys()].some((name) => name.startsWith(prefix));
  if (!bare) return source;
  const own = (name: string): string => (name.startsWith("lm_head.") ? name : prefix + name);
  const stored = new Map([...source.tensors.keys()].map((name) => [own(name), name]));
  return {
    ...source,
    tensors: new Map([...source.tensors].map(([name, tensor]) => [own(name), tensor])),
    read: (name) => source.read(stored.get(name) ?? name),
  };
}

/** Packed weights of layers that lie turned in floats: they are turned as those when they are read as values. */
function turned(source: WeightSource, isTurned: (name: string) => boolean): WeightSource {
  const isOther = (name: string): boolean => source.tensors.get(name)?.packed === true && isTurned(name);
  return {
    ...source,
    tensors: new Map(
      [...source.tensors].map(([name, entry]) => [
        name,
        isOther(name) ? { ...entry, shape: [...entry.shape].reverse() } : entry,
      ]),
    ),
    async read(name) {
      const values = await source.read(name);
      return isOther(name) ? transposed(values, source.tensors.get(name)?.shape ?? []) : values;
    },
  };
}

/** @param shape - of `values`, two axes */
export function transposed(values: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = values[row * columns + column];
  return result;
}
