import { modelWeights } from "@graft/nn";
import { type FileContent, writeFolderAtomic } from "@graft/nn/node";
import { quantizeFiles, writeQuantizationConfig } from "@graft/quant";
import type { QuantizeCommandOptions } from "../args/options.ts";
import { GraftError } from "../errors.ts";
import { jsonText } from "../model/companions.ts";
import { openModel } from "../model/open.ts";
import { checkOut } from "../out.ts";
import type { Output } from "../output.ts";

/** `graft quantize`: writes the model with its linear layers in few bits. Weights are read, packed and written one by one. */
export async function runQuantize(options: QuantizeCommandOptions, output: Output): Promise<void> {
  const { out, force, scheme, doubleQuant } = options;
  await checkOut("quantize", out, force, [options.model]);
  await using opened = await openModel(options.model, { tokenizer: options.tokenizer });
  if (opened.packed !== undefined)
    throw new GraftError(
      `quantize: the model must be in floats, got one that is packed already (${opened.packed}). Take the unquantized model.`,
    );
  const dtype = opened.baseDtype;
  const config = opened.configJson(dtype);
  // What transformers would quantize: every linear layer but the output head.
  const { source, names, isLinear, isTurned } = modelWeights(opened.config, opened.weights);
  const written = quantizeFiles(source, {
    scheme,
    doubleQuant,
    dtype,
    quantized: isLinear,
    turned: isTurned,
    omitted: (name) => !names.has(name),
  });
  const files = new Map<string, FileContent>(await opened.companionFiles());
  const quantization = writeQuantizationConfig({ scheme, doubleQuant });
  files.set("config.json", jsonText({ ...config, quantization_config: quantization }));
  for (const [name, content] of written.files) files.set(name, content);
  await writeFolderAtomic(out, files, { force });

  const { before, after, count } = written;
  const bytes = (value: number): string =>
    value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
  output.result(
    { out, scheme, doubleQuant, layers: count, bytesBefore: before, bytesAfter: after },
    `Wrote ${out}: ${count} linear layers in ${scheme}${doubleQuant ? " with double quantization" : ""}, the rest in ${dtype}; ${bytes(after)} instead of ${bytes(before)}.`,
  );
}
