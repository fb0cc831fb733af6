import { type CausalLM, KvCache } from "@graft/nn";
import {
  type Compiled,
  compile,
  type Device,
  fromArray,
  indexSelect,
  noGrad,
  reshape,
  scope,
  type Tensor,
} from "@graft/tensor";
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

/**
 * Tokens that go through the model at once: a prompt is cut into such pieces, the last of them filled up, so that a few compiled
 * steps serve every length.
 */
const PIECES = [256, 64, 16, 1] as const;

/**
 * Continues a prompt, token by token with a cache of keys and values.
 * @param promptIds - at least one token
 */
export async function generate(
  model: CausalLM,
  promptIds: readonly number[],
  { maxNewTokens, sampler, eosTokenIds, onToken }: GenerateOptions,
): Promise<Generated> {
  using decoder = new Decoder(model, promptIds.length + maxNewTokens);
  const tokens: number[] = [];
  let logits = await decoder.read(promptIds);
  for (;;) {
    const next = sampler(logits);
    if (eosTokenIds.includes(next)) return { tokens, finish: "stop" };
    tokens.push(next);
    onToken?.(next);
    if (tokens.length >= maxNewTokens) return { tokens, finish: "length" };
    logits = await decoder.read([next]);
  }
}

/** A text that a model reads piece by piece, each length of piece through a step that was compiled once. */
export class Decoder implements Disposable {
  readonly #device: Device;
  readonly #cache: KvCache;
  /** Positions that the model knows: learned ones end there. */
  readonly #positions: number;
  readonly #step: Compiled<[Tensor, Tensor], Tensor>;

  /** @param capacity - tokens of the longest text */
  constructor(model: CausalLM, capacity: number) {
    const { numHiddenLayers: layers, numKeyValueHeads: kvHeads, headDim } = model.config;
    this.#positions = model.config.maxPositionEmbeddings;
    this.#device = model.device;
    // Room for the padding of a last piece.
    this.#cache = new KvCache({ capacity: capacity + PIECES[0] });
    this.#cache.reserve(this.#device, { layers, kvHeads, headDim });
    this.#step = compile((ids: Tensor, row: Tensor) =>
      noGrad(() =>
        scope(() => {
          const hidden = model.hidden(ids, { cache: this.#cache });
          const [, length, width] = hidden.shape;
          return model.lm_head.forward(indexSelect(reshape(hidden, [length, width]), 0, row));
        }),
      ),
    );
  }

  /** Goes on with `ids`; the scores `[vocab]` of the token that comes after them. */
  async read(ids: readonly number[]): Promise<Float32Array> {
    let logits: Tensor | undefined;
    for (let at = 0; at < ids.length; ) {
      const rest = ids.length - at;
      // The largest piece that is filled, else the smallest that holds the rest, unless its padding has no positions.
      const filled = PIECES.find((size) => size <= rest && size > 1) ?? (rest === 1 ? 1 : PIECES[2]);
      const room = this.#positions - this.#cache.length;
      const piece = filled > room && room > 0 ? 1 : filled;
      const given = Math.min(piece, rest);
      logits?.dispose();
      logits = this.#run(ids.slice(at, at + given), piece);
      at += given;
    }
    if (logits === undefined) throw new RangeError("generate: the prompt must have at least one token.");
    const scores = Float32Array.from(await logits.toArray());
    logits.dispose();
    return scores;
  }

  #run(ids: readonly number[], piece: number): Tensor {
    const { length } = this.#cache;
    const padded = [...ids, ...Array<number>(piece - ids.length).fill(0)];
    const ints = (values: readonly number[], shape: readonly number[]): Tensor =>
      fromArray(this.#device, values, shape, { dtype: "i32" });
    const inputs = [ints(padded, [1, piece]), ints([ids.length - 1], [1])] as const;
    const logits = this.#step(...inputs);
    for (const input of inputs) input.dispose();
    this.#cache.rewind(length + ids.length);
    return logits;
  }

  [Symbol.dispose](): void {
    this.#step.dispose();
    this.#cache[Symbol.dispose]();
  }
}
