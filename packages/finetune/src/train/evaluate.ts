import type { CausalLM } from "@graft/nn";
import { noGrad, scope } from "@graft/tensor";
import { makeBatch } from "../dataset/batching.ts";
import { countTargets, type Example } from "../dataset/example.ts";
import { GraftError } from "../errors.ts";
import { tokenLosses } from "./loss.ts";

/** The result of an evaluation. */
export interface Evaluation {
  /** Mean over all targets, in nats. */
  readonly loss: number;
  /** e to the loss. */
  readonly perplexity: number;
  /** Targets counted. */
  readonly tokens: number;
}

/**
 * Mean loss over the targets of all examples, summed in float64 in file order.
 * @throws GraftError naming the row where a loss is not finite
 */
export async function evaluate(model: CausalLM, examples: readonly Example[]): Promise<Evaluation> {
  let sum = 0;
  let tokens = 0;
  for (const [i, example] of examples.entries()) {
    const losses = noGrad(() => scope(() => tokenLosses(model, makeBatch([example]))));
    const values = await losses.toArray();
    losses.dispose();
    for (const loss of values) sum += loss;
    tokens += countTargets(example.labels);
    if (!Number.isFinite(sum))
      throw new GraftError(
        `eval: the loss of row ${example.row ?? i + 1} is not finite, so there is no result. Look at the model's weights, or at that row.`,
      );
  }
  const loss = sum / tokens;
  return { loss, perplexity: Math.exp(loss), tokens };
}
