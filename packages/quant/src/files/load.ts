import {
  type CausalLM,
  Linear,
  type LinearLike,
  type LinearSlot,
  type LlamaForCausalLM,
  type LoadOptions,
  llamaConfigFromGguf,
  llamaGgufBlocks,
  llamaGgufWeights,
  loadCausalLM,
  type ModelConfig,
  type ModelOf,
  modelConfigFromHf,
  type WeightSource,
} from "@graft/nn";
import { CheckpointError, type GgufFile, quote, type SafetensorsFile } from "@graft/nn/checkpoint";
import { packedFormats, type Shape, ValueError } from "@graft/tensor";
import type { GgufPacked } from "../ggufBlocks.ts";
import { type OwnedMatrix, ownedMatrix } from "../matrix.ts";
import { type QuantizeOptions, quantize } from "../quantize.ts";
import { QuantizedEmbedding } from "../quantizedEmbedding.ts";
import { QuantizedLinear } from "../quantizedLinear.ts";
import { isExcluded } from "../quantizeModel.ts";
import { openPackedFile } from "./packedFile.ts";
import { readQuantizationConfig } from "./quantizationConfig.ts";

export interface LoadQuantizedOptions extends Omit<LoadOptions, "linear"> {
  /** Quantizes the linear layers while they are read, one after the other. Default: each stays as it is stored. */
  readonly quantize?: QuantizeOptions;
  /** Of `quantize`: the layers that stay in floats, as of `quantizeModel`. Default `["lm_head"]`. */
  readonly exclude?: readonly string[];
}

/**
 * A causal language model from a Hugging Face folder whose linear layers may be packed: by transformers with bitsandbytes in
 * 4 or 8 bits, or by Graft in INT4. Packed weights stay packed; the peak of memory is the loaded model and one tensor.
 *
 * @param configJson - the parsed `config.json`, with its `quantization_config`
 * @throws CheckpointError for broken files, unknown settings and such that contradict the file
 */
export async function loadQuantizedFromHf(
  configJson: unknown,
  file: SafetensorsFile,
  options: LoadQuantizedOptions,
): Promise<CausalLM> {
  const { device } = options;
  const settings = readQuantizationConfig(configJson);
  const packed = await openPackedFile(file, settings);
  const config = modelConfigFromHf(withoutQuantization(configJson));
  if (settings === undefined) return loadQuantizing(config, packed.weights, options);
  if (options.quantize !== undefined)
    throw new CheckpointError(
      "loadQuantizedFromHf",
      `${file.name}: the weights must be floats to be quantized, got ${settings.scheme}. Leave out quantize, or take the unquantized model.`,
    );
  return loadCausalLM(config, packed.weights, {
    ...options,
    linear: async ({ weight, bias }) =>
      packed.packed.has(weight)
        ? QuantizedLinear.fromPacked(await packed.read(weight), { device, bias })
        : undefined,
  });
}

/**
 * A causal language model from a GGUF file whose embedding and linear layers stay in the blocks of the file, rows of queries
 * and keys put back where transformers has them. What the file has as floats is widened to the dtype of the options.
 */
export async function loadQuantizedFromGguf(
  file: GgufFile,
  options: LoadQuantizedOptions,
): Promise<LlamaForCausalLM> {
  const { device } = options;
  const config = await llamaConfigFromGguf(file);
  const weights = llamaGgufWeights(file, config);
  if (options.quantize !== undefined) return loadQuantizing(config, weights, options);
  const blocks = llamaGgufBlocks(file, config);
  const packedOf = async (weight: string, shape: Shape): Promise<GgufPacked | undefined> => {
    const scheme = blocks.formatOf(weight)?.name ?? "";
    return packedFormats.has(scheme) ? { scheme, shape, bytes: await blocks.read(weight) } : undefined;
  };
  const model = await loadCausalLM(config, weights, {
    ...options,
    async linear({ weight, inFeatures, outFeatures, bias }) {
      const packed = await packedOf(weight, [outFeatures, inFeatures]);
      return packed && QuantizedLinear.fromPacked(packed, { device, bias });
    },
  });
  const { embed_tokens: table } = model.model;
  const packed = await packedOf("model.embed_tokens.weight", table.weight.shape);
  if (packed !== undefined) packEmbedding(model, ownedMatrix(packed, device));
  return model;
}

/** Puts a packed table in place of the embedding, and of a head that is tied to it. */
function packEmbedding(model: LlamaForCausalLM, matrix: OwnedMatrix): void {
  const { embed_tokens: table } = model.model;
  const { lm_head: head } = model;
  if (head instanceof Linear && head.weight === table.weight)
    model.replace("lm_head", new QuantizedLinear(matrix).eval());
  model.replace("model.embed_tokens", new QuantizedEmbedding(matrix).eval());
  table.dispose();
}

/** The `config.json` of the same model in floats. */
export function withoutQuantization(configJson: unknown): unknown {
  if (typeof configJson !== "object" || configJson === null || Array.isArray(configJson)) return configJson;
  return Object.fromEntries(Object.entries(configJson).filter(([key]) => key !== "quantization_config"));
}

function loadQuantizing<C extends ModelConfig>(
  config: C,
  source: WeightSource,
  { quantize: scheme, exclude = ["lm_head"], ...options }: LoadQuantizedOptions,
): Promise<ModelOf<C>> {
  if (scheme === undefined) return loadCausalLM(config, source, options);
  quantize(new Float32Array(0), [0, 32], scheme); // refuses unknown schemes and options before anything is read
  const linear = async (slot: LinearSlot): Promise<LinearLike | undefined> => {
    const { weight, inFeatures, outFeatures, bias, read } = slot;
    if (isExcluded(weight.slice(0, -".weight".length), exclude)) return undefined;
    const values = await read();
    try {
      const packed = quantize(values, [outFeatures, inFeatures], scheme);
      return QuantizedLinear.fromPacked(packed, { device: options.device, bias });
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new CheckpointError(source.who, `${source.name}: ${quote(weight)}: ${error.message}`);
    }
  };
  return loadCausalLM(config, source, { ...options, linear });
}
