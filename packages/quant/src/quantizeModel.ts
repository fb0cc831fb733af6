import { Embedding, isLinearLike, Linear, type LinearLike, type Module, Parameter } from "@graft/nn";
import { cast, noGrad, scope, ValueError } from "@graft/tensor";
import { schemeNamed } from "./dequantize.ts";
import { replaceParameter } from "./kbit.ts";
import { matrixBytes, ownedMatrix } from "./matrix.ts";
import { type QuantizeOptions, quantize } from "./quantize.ts";
import { QuantizedEmbedding } from "./quantizedEmbedding.ts";
import { QuantizedLinear } from "./quantizedLinear.ts";

/** What becomes of embeddings and of heads that are tied to them. */
export type EmbeddingStorage = "keep" | "f16" | "bf16" | "int8" | "q8_0";

export interface QuantizeModelOptions extends QuantizeOptions {
  /**
   * Layers that stay as they are: each a path, or the beginning or an inner part of one up to a dot, as transformers'
   * `llm_int8_skip_modules`. Default `["lm_head"]`.
   */
  readonly exclude?: readonly string[];
  /** Of int8: LLM.int8()'s size of outliers, as of `QuantizedLinear`. Default: activations are multiplied as they are. */
  readonly threshold?: number;
  /** Default "keep". */
  readonly embedding?: EmbeddingStorage;
  /** Called after each layer. */
  readonly onLayer?: (done: number, total: number) => void;
}

/** What became of one layer. */
export interface QuantizedLayer {
  readonly path: string;
  /** A scheme, or the type in which an embedding is stored now. */
  readonly scheme: string;
  /** Of the weight. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** What `quantizeModel` did. */
export interface QuantizeReport {
  readonly layers: readonly QuantizedLayer[];
  /** Linear layers that stayed as they are: excluded, tied to an embedding, or packed before. */
  readonly left: readonly string[];
  /** Of all parameters of the model. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/**
 * Replaces the linear layers of a model by layers in few bits, in place and one after the other, so that the peak of
 * memory is the model and one packed layer. Adapters stay: the layers below them are packed. The model is frozen
 * nowhere else; `injectLora` freezes it, as `prepareForKbitTraining` does.
 *
 * @throws ValueError for unknown schemes and options, before anything changes; for a weight that is not finite, after the
 * layers before it were packed
 */
export async function quantizeModel(model: Module, options: QuantizeModelOptions): Promise<QuantizeReport> {
  const { exclude = ["lm_head"], embedding = "keep", onLayer } = options;
  quantize(new Float32Array(0), [0, 32], options);
  const bytesBefore = model.parameterBytes();
  const layers: QuantizedLayer[] = [];
  const embeddings = [...model.namedModules()].filter(([, module]) => module instanceof Embedding);
  const tables = new Set(embeddings.map(([, module]) => (module as Embedding).weight));
  const linears = linearLayers(model);
  const chosen = linears.filter(
    ([path, layer]) =>
      !(layer instanceof QuantizedLinear) && !isExcluded(path, exclude) && !isTied(layer, tables),
  );
  const taken = new Set(chosen.map(([path]) => path));
  const total = chosen.length + (embedding === "keep" ? 0 : embeddings.length);
  for (const [path, layer] of chosen) {
    layers.push(await packLayer(model, path, layer, options));
    onLayer?.(layers.length, total);
  }
  if (embedding !== "keep")
    for (const [path, module] of embeddings) {
      layers.push(await packEmbedding(model, path, module as Embedding, embedding));
      onLayer?.(layers.length, total);
    }
  return {
    layers,
    left: linears.map(([path]) => path).filter((path) => !taken.has(path)),
    bytesBefore,
    bytesAfter: model.parameterBytes(),
  };
}

/** Whether transformers would leave a module out that is listed so. */
export function isExcluded(path: string, exclude: readonly string[]): boolean {
  return exclude.some((name) => path === name || `.${path}.`.includes(`.${name}.`));
}

/** The linear layers that hold a weight themselves, with their paths; of adapted ones the layer below. */
function linearLayers(model: Module): [string, LinearLike][] {
  return [...model.namedModules()].flatMap(([path, module]): [string, LinearLike][] => {
    const holds = isLinearLike(module) && [...module.namedChildren()].length === 0;
    return holds && path !== "" ? [[path, module]] : [];
  });
}

function isTied(layer: LinearLike, tables: ReadonlySet<Parameter>): boolean {
  return layer.parameters().some((parameter) => tables.has(parameter));
}

async function packLayer(
  model: Module,
  path: string,
  layer: LinearLike,
  options: QuantizeModelOptions,
): Promise<QuantizedLayer> {
  const { outFeatures, inFeatures } = layer;
  const bias: unknown = Reflect.get(layer, "bias");
  const parameters = layer.parameters().filter((parameter) => parameter !== bias);
  const bytesBefore = parameters.reduce((sum, { bytes }) => sum + bytes, 0);
  const [{ device }] = parameters;
  const values = await valuesOf(layer);
  const packed = named(path, () => quantize(values, [outFeatures, inFeatures], options));
  for (const parameter of parameters) parameter.dispose();
  const made = QuantizedLinear.fromPacked(packed, {
    device,
    bias: bias instanceof Parameter ? bias : undefined,
    threshold: options.threshold,
  });
  model.replace(path, made.train(layer.training));
  return { path, scheme: options.scheme, bytesBefore, bytesAfter: matrixBytes(made.weight) };
}

async function valuesOf(layer: LinearLike): Promise<Float32Array> {
  const dense = noGrad(() => layer.denseWeight());
  try {
    const values = await dense.toArray();
    return values instanceof Float32Array ? values : Float32Array.from(values);
  } finally {
    dense.dispose();
  }
}

async function packEmbedding(
  model: Module,
  path: string,
  table: Embedding,
  storage: Exclude<EmbeddingStorage, "keep">,
): Promise<QuantizedLayer> {
  const { weight: old } = table;
  const { device, shape, bytes: bytesBefore } = old;
  if (storage === "f16" || storage === "bf16") {
    const made = noGrad(() => scope(() => new Parameter(cast(old, storage), old.requiresGrad)));
    replaceParameter(model, old, made);
    old.dispose();
    return { path, scheme: storage, bytesBefore, bytesAfter: made.bytes };
  }
  const values = Float32Array.from(await old.toArray());
  const packed = named(path, () => schemeNamed(storage).quantize(values, shape));
  old.dispose();
  const matrix = ownedMatrix(packed, device);
  for (const [head, layer] of linearLayers(model))
    if (layer instanceof Linear && layer.weight === old)
      model.replace(head, new QuantizedLinear(matrix, { bias: layer.bias }).train(layer.training));
  model.replace(path, new QuantizedEmbedding(matrix).train(table.training));
  return { path, scheme: storage, bytesBefore, bytesAfter: matrixBytes(matrix) };
}

/** Names the layer in what its scheme refuses. */
function named<T>(path: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ValueError("quantizeModel", `${path}: ${error.message}`);
  }
}
