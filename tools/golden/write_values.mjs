// Writes what Graft reads from a quantized folder, so that check_quantized.py can ask transformers and bitsandbytes:
//   node tools/golden/write_values.mjs --model FOLDER --out values.safetensors
// Build first (npm run setup). The values of every packed weight, and the logits of two rows of (at most) sixteen fixed token ids.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openModel } from "../../packages/finetune/dist/index.js";
import { serializeSafetensors } from "../../packages/nn/dist/checkpoint/index.js";
import { QuantizedLinear } from "../../packages/quant/dist/index.js";
import { fromArray, noGrad, openCpu, scope } from "../../packages/tensor/dist/index.js";

const { values: flags } = parseArgs({ options: { model: { type: "string" }, out: { type: "string" } } });
const opened = await openModel(flags.model);
const device = openCpu();
const model = await opened.load(device);
const tensors = [];
for (const [path, module] of model.namedModules()) {
  if (!(module instanceof QuantizedLinear)) continue;
  const dense = module.denseWeight();
  const values = await dense.toArray();
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  tensors.push({ name: `${path}.weight`, dtype: "F32", shape: dense.shape, bytes });
  dense.dispose();
}
const shape = [2, Math.min(16, opened.config.maxPositionEmbeddings)];
const ids = Int32Array.from({ length: 2 * shape[1] }, (_, i) => (i * 7919 + 13) % opened.vocabSize);
const logits = noGrad(() => scope(() => model.forward(fromArray(device, ids, shape, { dtype: "i32" }))));
const values = await logits.toArray();
tensors.push(
  { name: "input_ids", dtype: "I32", shape, bytes: new Uint8Array(ids.buffer) },
  { name: "logits", dtype: "F32", shape: logits.shape, bytes: new Uint8Array(values.buffer) },
);
writeFileSync(flags.out, serializeSafetensors(tensors));
