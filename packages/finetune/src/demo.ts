import { fileURLToPath } from "node:url";
import type { CausalLM } from "@graft/nn";
import type { FinetuneOptions, FinetuneSource } from "./args/options.ts";
import { generate } from "./generate.ts";
import type { OpenedModel } from "./model/opened.ts";
import type { Output } from "./output.ts";
import { createSampler } from "./sampling.ts";

/**
 * Folder of the model that comes with the package: 1.8 million parameters, trained on American speeches. Beside it, in
 * `demo/`, are the chapters of a novel that the demo teaches it.
 */
export const embeddedModel = fileURLToPath(new URL("../embedded", import.meta.url));

const PROMPT = "The captain looked out over the sea, and";

export interface Demo {
  readonly source: { readonly model: string; readonly data: string; readonly out: string };
  /** The user's options, and the demo's where the user gave none. */
  readonly options: FinetuneOptions;
  /** Shows how the model continues a sentence. */
  sample(model: CausalLM, opened: OpenedModel, when: "before" | "after", output: Output): Promise<void>;
}

/** `graft finetune --demo`: adapts the embedded model to chapters of Moby Dick. Flags that are given win. */
export function demoOf(given: FinetuneOptions, source: FinetuneSource): Demo {
  const own = source.model === undefined && source.data === undefined;
  const or = <T>(flag: string, value: T, standard: T): T => (given.given(flag) ? value : standard);
  const trained =
    given.trained.kind === "new" && !given.given("target")
      ? { ...given.trained, target: "all-linear" as const }
      : given.trained;
  return {
    source: {
      model: source.model ?? embeddedModel,
      data: source.data ?? `${embeddedModel}/demo/moby-dick.train.txt`,
      out: source.out ?? "runs/moby-dick",
    },
    options: {
      ...given,
      trained,
      evalData: given.evalData ?? (own ? `${embeddedModel}/demo/moby-dick.eval.txt` : undefined),
      // The default folder is the demo's own: running it again replaces it.
      force: given.force || source.out === undefined,
      length: given.given("steps") || given.given("epochs") ? given.length : { epochs: 3 },
      batchSize: or("batch-size", given.batchSize, 4),
      sequenceLength: or("sequence-length", given.sequenceLength, 128),
      learningRate: or("learning-rate", given.learningRate, 5e-3),
      warmupSteps: or("warmup-steps", given.warmupSteps, 10),
    },
    async sample(model, opened, when, output) {
      const tokenizer = await opened.tokenizer();
      model.eval();
      const { tokens } = await generate(model, tokenizer.encode(PROMPT, { addSpecialTokens: true }), {
        maxNewTokens: 40,
        sampler: createSampler({ temperature: 0.7, topK: 40, topP: 1, seed: given.seed }),
        eosTokenIds: tokenizer.eosTokenIds,
      });
      output.notice(
        `${when} training the model writes: "${PROMPT}${tokenizer.decode(tokens, { skipSpecialTokens: true }).trimEnd()} …"`,
      );
    },
  };
}
