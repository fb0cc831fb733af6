// Writes Graft's own logits for check_adapter.py, so that transformers and PEFT can be asked whether they agree:
//   node tools/golden/write_logits.mjs --model FOLDER_or_GGUF [--adapter FOLDER] --out logits.safetensors
// Build first (npm run setup). Two rows of sixteen fixed token ids; the logits of every position, on the CPU device.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openAdapter, openModel } from "../../packages/finetune/dist/index.js";
import { serializeSafetensors } from "../../packages/nn/dist/checkpoint/index.js";
import { fromArray, noGrad, openCpu, scope } from "../../packages/tensor/dist/index.js";

const { values: flags } = parseArgs({
  options: { model: { type: "string" }, adapter: { type: "string" }, out: { type: "string" } },
});
const opened = await openModel(flags.model);
const device = openCpu();
const model = await opened.load(device);
if (flags.adapter !== undefined) await (await openAdapter(flags.adapter)).inject(model);
model.eval();

const shape = [2, 16];
const ids = Int32Array.from({ length: 32 }, (_, i) => (i * 7919 + 13) % opened.vocabSize);
const logits = noGrad(() => scope(() => model.forward(fromArray(device, ids, shape, { dtype: "i32" }))));
const values = await logits.toArray();
writeFileSync(
  flags.out,
  serializeSafetensors([
    { name: "input_ids", dtype: "I32", shape, bytes: new Uint8Array(ids.buffer) },
    { name: "logits", dtype: "F32", shape: logits.shape, bytes: new Uint8Array(values.buffer) },
  ]),
);
