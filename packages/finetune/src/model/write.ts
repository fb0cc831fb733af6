import type { LlamaForCausalLM, Parameter } from "@graft/nn";
import { type LazyTensor, type SafetensorsDtype, safetensorsChunks } from "@graft/nn/checkpoint";
import type { FileContent } from "@graft/nn/node";
import { f32ToBf16, f32ToF16 } from "@graft/tensor";
import { GraftError } from "../errors.ts";
import { jsonText } from "./companions.ts";
import type { OpenedModel, WeightDtype } from "./opened.ts";

/**
 * The files of a Hugging Face folder with the parameters of `model`: weights, configuration, tokenizer. The weights are
 * read from the device one by one while they are written. A head that is tied to the embedding is left out.
 */
export async function modelFiles(
  model: LlamaForCausalLM,
  opened: OpenedModel,
  dtype: WeightDtype,
): Promise<Map<string, FileContent>> {
  const tensors = [...model.namedParameters()].map(
    ([name, parameter]): LazyTensor => ({
      name,
      dtype: fileDtype[dtype],
      shape: parameter.shape,
      bytes: () => bytesOf(name, parameter, dtype),
    }),
  );
  const files = new Map(await opened.companionFiles());
  // Merging an adapter of the head unties it from the embedding.
  const untied = tensors.some(({ name }) => name === "lm_head.weight") ? { tie_word_embeddings: false } : {};
  files.set("config.json", jsonText({ ...opened.configJson(dtype), ...untied }));
  files.set("model.safetensors", safetensorsChunks(tensors, { format: "pt" }));
  return files;
}

const fileDtype = { f32: "F32", f16: "F16", bf16: "BF16" } as const satisfies Record<
  WeightDtype,
  SafetensorsDtype
>;

async function bytesOf(name: string, parameter: Parameter, dtype: WeightDtype): Promise<Uint8Array> {
  const values = Float32Array.from(await parameter.toArray());
  const stored = dtype === "f32" ? values : dtype === "f16" ? f32ToF16(values) : f32ToBf16(values);
  checkFinite(name, values, stored, dtype);
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}

/** Bits of the exponent: all set means infinity or not-a-number. */
const exponent = { f32: 0x7f80_0000, f16: 0x7c00, bf16: 0x7f80 } as const;

function checkFinite(
  name: string,
  values: Float32Array,
  stored: Float32Array | Uint16Array,
  dtype: WeightDtype,
): void {
  const mask = exponent[dtype];
  const bits = stored instanceof Uint16Array ? stored : new Uint32Array(stored.buffer);
  const at = bits.findIndex((value) => (value & mask) === mask);
  if (at < 0) return;
  const remedy = Number.isFinite(values[at])
    ? "Use --dtype bf16 or f32, which reach further."
    : "The model or the adapter is damaged.";
  throw new GraftError(
    `weights: ${name} must hold numbers that ${dtype} can say, got ${values[at]} at place ${at}. ${remedy}`,
  );
}
