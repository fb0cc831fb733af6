import { stat } from "node:fs/promises";
import { loadAdapter, readAdapterConfig } from "@graft/lora";
import type { CausalLM } from "@graft/nn";
import { openCheckpoint } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import type { Generator } from "@graft/tensor";
import { GraftError, quote } from "../errors.ts";

export interface InjectOptions {
  /** Whether the factors are trained further. Default false. */
  readonly trainable?: boolean;
  /** Draws the keys of the dropout; needed where the factors are trained. */
  readonly generator?: Generator;
}

/** A PEFT folder whose configuration and header were read and checked. */
export interface OpenedAdapter {
  /** As it was given. */
  readonly path: string;
  /** Puts the adapter on the model, the only one and active. */
  inject(model: CausalLM, options?: InjectOptions): Promise<void>;
}

/**
 * Opens a PEFT folder: `adapter_config.json` and `adapter_model.safetensors`.
 * @param notice - gets a sentence on each setting that is left aside
 * @throws GraftError, LoraError or CheckpointError where it is missing, broken or of a kind that is not supported
 */
export async function openAdapter(path: string, notice?: (line: string) => void): Promise<OpenedAdapter> {
  const shown = quote(path, 200);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isDirectory()) {
    throw new GraftError(
      `adapter: ${shown} must be a PEFT folder with adapter_config.json, got ${found === undefined ? "nothing of that name" : "a file"}. Check the path.`,
    );
  }
  const open = folderOpener(path);
  await readAdapterConfig(open, { who: "adapter" });
  // Looks at the header; the values are read when the model is there.
  const weights = await openCheckpoint(open, "adapter_model");
  await weights.close();
  return {
    path,
    async inject(model, { trainable = false, generator } = {}) {
      await loadAdapter(model, open, {
        isTrainable: trainable,
        generator,
        allowTied: true,
        onWarning: notice,
      });
    },
  };
}
