import { KvCache, type LlamaForCausalLM } from "@graft/nn";
import { fromArray, noGrad, reshape, scope, slice, type Tensor } from "@graft/tensor";
import type { Sampler } from "./sampling.ts";

export interface GenerateOptions {
  /** New tokens after which generation ends. */
  readonly maxNewTokens: number;
  readonly sampler: Sampler;
  /** Tokens that end generation; the one that does is left out of the result. */
  readonly eosTokenIds: readonly number[];
  /** Called with each new token when it is there. */
  readonly onToken?: (id: number) => void;
}

export interface Generated {
  /** New tokens only. */
  readonly tokens: number[];
  /** `stop`: an end-of-text token came; `length`: `maxNewTokens` were made. */
  readonly finish: "length" | "stop";
}

/** Prompt tokens that go through the model at once, so that attention scores of a long prompt stay small. */
const PREFILL = 256;

/**
 * Continues a prompt, token by token with a cache of keys and values.
 * @param promptIds - at least one token
 */
export async function generate(
  model: LlamaForCausalLM,
  promptIds: readonly number[],
  { maxNewTokens, sampler, eosTokenIds, onToken }: GenerateOptions,
): Promise<Generated> {
  using cache = new KvCache();
  const tokens: number[] = [];
  let logits = await prefill(model, promptIds, cache);
  for (;;) {
    const next = sampler(logits);
    if (eosTokenIds.includes(next)) return { tokens, finish: "stop" };
    tokens.push(next);
    onToken?.(next);
    if (tokens.length >= maxNewTokens) return { tokens, finish: "length" };
    logits = await nextLogits(model, [next], cache);
  }
}

async function prefill(
  model: LlamaForCausalLM,
  ids: readonly number[],
  cache: KvCache,
): Promise<Float32Array> {
  const last = Math.floor((ids.length - 1) / PREFILL) * PREFILL;
  for (let at = 0; at < last; at += PREFILL) {
    noGrad(() => scope(() => void model.hidden(idsTensor(model, ids.slice(at, at + PREFILL)), { cache })));
  }
  return nextLogits(model, ids.slice(last), cache);
}

/** The scores `[vocab]` of the token after `ids`, which extend the cache. */
async function nextLogits(
  model: LlamaForCausalLM,
  ids: readonly number[],
  cache: KvCache,
): Promise<Float32Array> {
  using logits = noGrad(() =>
    scope(() => {
      const hidden = model.hidden(idsTensor(model, ids), { cache });
      const [, length, width] = hidden.shape;
      return model.lm_head.forward(reshape(slice(hidden, 1, length - 1, length), [1, width]));
    }),
  );
  return Float32Array.from(await logits.toArray());
}

function idsTensor(model: LlamaForCausalLM, ids: readonly number[]): Tensor {
  return fromArray(model.model.norm.weight.device, ids, [1, ids.length], { dtype: "i32" });
}
