import { mergeAndUnload } from "@graft/lora";
import { writeFolderAtomic } from "@graft/nn/node";
import type { MergeOptions } from "../args/options.ts";
import { openDevice } from "../device.ts";
import { openAdapter } from "../model/adapter.ts";
import { openModel } from "../model/open.ts";
import { modelFiles } from "../model/write.ts";
import { checkOut } from "../out.ts";
import type { Output } from "../output.ts";

/** `graft merge`: writes the model with an adapter merged into its weights. */
export async function runMerge(options: MergeOptions, output: Output): Promise<void> {
  const { out, force } = options;
  await checkOut("merge", out, force, [options.model, options.adapter]);
  await using opened = await openModel(options.model, { tokenizer: options.tokenizer });
  const adapter = await openAdapter(options.adapter, output.notice);
  const dtype = options.dtype ?? opened.baseDtype;
  opened.configJson(dtype); // refuses before the work what could not be written after it
  using device = await openDevice(options.device, output.notice);
  // Of a packed base the values that were packed are what the adapter was trained on.
  const model = await opened.load(device.device, { weights: "floats" });
  await adapter.inject(model);
  const { untied } = await mergeAndUnload(model);
  if (untied.length > 0)
    output.notice(
      `The adapter changes ${untied.join(", ")}, whose weight was shared with another layer; it is written apart from it.`,
    );
  await writeFolderAtomic(out, await modelFiles(model, opened, dtype), { force });
  const parameters = model.parameterCount().total;
  output.result(
    { out, dtype, parameters },
    `Wrote ${out}: ${parameters.toLocaleString("en-US")} parameters in ${dtype}.`,
  );
}
