import { open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { refusePickle } from "@graft/nn/checkpoint";
import { GraftError, quote } from "../errors.ts";
import { openModelFolder } from "./folder.ts";
import { openModelGguf } from "./gguf.ts";
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
  if (found.isFile() && (path.toLowerCase().endsWith(".gguf") || (await startsWithGguf(path)))) {
    return openModelGguf(path, options);
  }
  refusePickle(basename(path));
  const inFolder = /\.(safetensors|json)$/i.test(path);
  throw new GraftError(
    `model: ${shown} must be a Hugging Face folder or a .gguf file, got another file. ${inFolder ? "Give the folder that it is in." : "Check the path."}`,
  );
}

async function startsWithGguf(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const bytes = new Uint8Array(4);
    await file.read(bytes, 0, 4, 0);
    return new TextDecoder("latin1").decode(bytes) === "GGUF";
  } finally {
    await file.close();
  }
}
