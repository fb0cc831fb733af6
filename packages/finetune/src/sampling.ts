import { GraftError } from "./errors.ts";
import { createRandom } from "./random.ts";

/** How the next token is chosen. */
export interface SamplingOptions {
  /** Divides the logits; 0 takes the largest logit. Default 0. */
  readonly temperature?: number;
  /** Keep only this many largest logits; 0 keeps all. Default 0. */
  readonly topK?: number;
  /** Keep the smallest set of tokens whose probabilities reach this sum, in (0, 1]. Default 1. */
  readonly topP?: number;
  /** Seed of the draw. Default 0. */
  readonly seed?: number;
}

/** Chooses one token from the logits `[vocabSize]` of a position. */
export type Sampler = (logits: Float32Array) => number;

/**
 * A sampler in the order of transformers: temperature, then top-k, then top-p, then one draw.
 * @throws GraftError where a logit is not a number or every logit is −Infinity
 */
export function createSampler(options: SamplingOptions = {}): Sampler {
  const { temperature = 0, topK = 0, topP = 1, seed = 0 } = options;
  if (temperature === 0) return argmax;
  const random = createRandom(seed);
  return (logits) => {
    const max = logits[argmax(logits)];
    let kept = candidates(logits, topK);
    const weights = kept.map((id) => Math.exp((logits[id] - max) / temperature));
    let total = weights.reduce((sum, w) => sum + w, 0);
    if (topP < 1) {
      const count = nucleus(weights, total, topP);
      kept = kept.slice(0, count);
      total = weights.slice(0, count).reduce((sum, w) => sum + w, 0);
    }
    let left = random() * total;
    for (let i = 0; i < kept.length; i++) {
      left -= weights[i];
      if (left < 0) return kept[i];
    }
    return kept[kept.length - 1]; // rounding left a crumb
  };
}

/** The first largest logit. */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i];
    if (Number.isNaN(value)) throw notFinite(i);
    if (value > max) {
      max = value;
      best = i;
    }
  }
  if (best === -1 || max === Number.POSITIVE_INFINITY) throw notFinite(Math.max(best, 0));
  return best;
}

/** Token ids by descending logit, equal ones by id, at most `topK` of them (0: all). */
function candidates(logits: Float32Array, topK: number): number[] {
  const ids = Array.from(logits.keys()).filter((id) => logits[id] > Number.NEGATIVE_INFINITY);
  ids.sort((a, b) => logits[b] - logits[a] || a - b);
  return topK > 0 ? ids.slice(0, topK) : ids;
}

/** The smallest count of leading weights whose share reaches `topP`. */
function nucleus(weights: readonly number[], total: number, topP: number): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i];
    if (sum >= topP * total) return i + 1;
  }
  return weights.length;
}

function notFinite(id: number): GraftError {
  return new GraftError(
    `generate: the model's logits must be finite, got none or a not-a-number at token ${id}. The weights or the adapter are damaged; try without --adapter.`,
  );
}
