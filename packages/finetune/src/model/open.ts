import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { refusePickle } from "@graft/nn/checkpoint";
import { GraftError, quote } from "../errors.ts";
import { openModelFolder } from "./folder.ts";
import { openModelGguf } from "./gguf.ts";
import { isGguf } from "./magic.ts";
import type { OpenedModel, OpenModelOptions } from "./opened.ts";

/**
 * Opens a Hugging Face folder or a .gguf file. Only the configuration and the headers of the weights are read here.
 * @throws GraftError or CheckpointError where it is neither, or broken, or of a kind that is not supported
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<OpenedModel> {
  const shown = quote(path, 200);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new GraftError(
      `model: ${shown} must be a Hugging Face folder or a .gguf file, got no file of that name. Check the path; models are not downloaded by this command.`,
    );
  }
  if (found.isDirectory()) return openModelFolder(path, options);
  if (found.isFile() && (await isGguf(path))) {
    return openModelGguf(path, options);
  }
  refusePickle(basename(path));
  const inFolder = /\.(safetensors|json)$/i.test(path);
  throw new GraftError(
    `model: ${shown} must be a Hugging Face folder or a .gguf file, got another file. ${inFolder ? "Give the folder that it is in." : "Check the path."}`,
  );
}
