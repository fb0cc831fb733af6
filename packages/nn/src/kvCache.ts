import {
  type Device,
  GradError,
  keep,
  ShapeError,
  scope,
  structureChanged,
  type Tensor,
  ValueError,
  zeros,
} from "@graft/tensor";
import { apply, changesNothing, everyStep, isTracing, type Op } from "@graft/tensor/op";

export interface KvCacheOptions {
  /**
   * Positions that there is room for; more are an error. Default: the room doubles when it is full, for which a compiled step
   * would have to be traced again.
   */
  readonly capacity?: number;
}

/** What a model's caches look like: of its configuration, and how many texts go through it at once. */
export interface KvCacheSizes {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly batch?: number;
}

/** Positions that a cache has room for before it grows. */
const FIRST_CAPACITY = 64;

interface Layer {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/**
 * The keys and values of the positions that a model has seen, for each attention layer: generation in O(length). A layer
 * has two buffers `[batch, capacity, kvHeads, headDim]` of which the first `length` positions hold values, so that the same
 * kernels, and one compiled step, serve every length.
 */
export class KvCache implements Disposable {
  readonly #layers: Layer[] = [];
  readonly #fixed: number | undefined;
  #length = 0;

  constructor({ capacity }: KvCacheOptions = {}) {
    if (capacity !== undefined && !(Number.isInteger(capacity) && capacity > 0))
      throw new ValueError("KvCache", `capacity must be a whole number from 1, got ${capacity}.`);
    this.#fixed = capacity;
  }

  /** Positions that every layer holds. */
  get length(): number {
    return this.#length;
  }

  /** Positions that there will ever be room for: 0 where the room grows. */
  get capacity(): number {
    return this.#fixed ?? 0;
  }

  /** Takes the memory of all layers at once, as a compiled step needs it: such a step takes none. f32. */
  reserve(device: Device, { layers, kvHeads, headDim, batch = 1 }: KvCacheSizes): void {
    const shape = [batch, this.#fixed ?? FIRST_CAPACITY, kvHeads, headDim];
    for (let layer = this.#layers.length; layer < layers; layer++)
      this.#layers.push(emptyLayer(device, shape));
  }

  /**
   * Writes keys and values `[batch, new, kvHeads, headDim]` behind what layer `layer` holds, and returns its whole buffers
   * with the number of positions in them that count from now on. Call `advance` when every layer has been extended.
   */
  extend(layer: number, keys: Tensor, values: Tensor): Layer & { readonly count: () => number } {
    if (keys.requiresGrad || values.requiresGrad)
      throw new GradError("KvCache", "a cache is for generation: call the model inside noGrad.");
    const [batch, added, ...head] = keys.shape;
    const count = (): number => {
      const needed = this.#length + added;
      if (this.#fixed !== undefined && needed > this.#fixed)
        throw new ShapeError(
          "KvCache",
          `there must be room for ${needed} positions, got a capacity of ${this.#fixed}. Make a cache with a larger one.`,
        );
      return needed;
    };
    const held = this.#roomFor(layer, count(), keys, [batch, ...head]);
    const room = held.keys.shape[1];
    const at = (): number => {
      const needed = count();
      if (needed > room)
        throw new ShapeError(
          "KvCache",
          `there must be room for ${needed} positions when a compiled step is repeated, got ${room}. Make a cache with a capacity.`,
        );
      return needed - added;
    };
    const attrs = everyStep(() => ({ at: at() }), changesNothing);
    apply(appendOp, [held.keys, held.values, keys, values], attrs);
    return { ...held, count };
  }

  /** Counts the positions that were added to every layer. */
  advance(positions: number): void {
    everyStep(
      () => {
        this.#length += positions;
        return {};
      },
      () => {
        this.#length -= positions;
      },
    );
  }

  /**
   * Forgets the positions from `length` on: what padding put there, or a text that is taken back. The room stays.
   * For use between steps, not inside of a compiled one.
   */
  rewind(length: number): void {
    if (!(Number.isInteger(length) && length >= 0 && length <= this.#length))
      throw new ValueError(
        "KvCache",
        `length must be a whole number up to the ${this.#length} positions that are held, got ${length}.`,
      );
    this.#length = length;
  }

  /** The buffers of a layer: those that it has, or larger ones with the same values. */
  #roomFor(layer: number, needed: number, { device }: Tensor, [batch, ...head]: readonly number[]): Layer {
    const held = this.#layers[layer];
    const capacity = held?.keys.shape[1] ?? 0;
    if (held !== undefined && needed <= capacity) return held;
    if (isTracing())
      throw new ShapeError(
        "KvCache",
        `there must be room for ${needed} positions before a step is compiled, got ${capacity}. Give the cache a capacity and call reserve first.`,
      );
    const room = this.#fixed ?? Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(needed)));
    const next = emptyLayer(device, [batch, room, ...head]);
    if (held !== undefined) {
      apply(appendOp, [next.keys, next.values, held.keys, held.values], { at: 0 });
      held.keys.dispose();
      held.values.dispose();
      structureChanged();
    }
    this.#layers[layer] = next;
    return next;
  }

  [Symbol.dispose](): void {
    for (const { keys, values } of this.#layers) {
      keys.dispose();
      values.dispose();
    }
    this.#layers.length = 0;
    this.#length = 0;
  }
}

function emptyLayer(device: Device, shape: readonly number[]): Layer {
  return scope(() => ({ keys: keep(zeros(device, shape)), values: keep(zeros(device, shape)) }));
}

interface AppendAttrs {
  /** The first position that is written; may change from step to step. */
  readonly at: number;
}

/** Writes the last two inputs into the first two, `[batch, capacity, kvHeads, headDim]`, from position `at` on. */
const appendOp: Op<AppendAttrs> = {
  name: "kvAppend",
  mutates: [0, 1],

  infer([, , keys, values]) {
    if (keys.dtype !== "f32" || values.dtype !== "f32")
      throw new ShapeError("KvCache", `keys and values must be f32, got ${keys.dtype} and ${values.dtype}.`);
    return [];
  },

  cpu([toKeys, toValues, keys, values], _, { at }) {
    for (const [to, from] of [
      [toKeys, keys],
      [toValues, values],
    ]) {
      const [batch, added, heads, headDim] = from.shape;
      const row = heads * headDim;
      for (let b = 0; b < batch; b++) {
        const part = from.data.subarray(b * added * row, (b + 1) * added * row);
        to.data.set(part, (b * to.shape[1] + at) * row);
      }
    }
  },

  wgsl([toKeys, toValues, keys, values], _, attrs) {
    const [batch, added, heads, headDim] = keys.shape;
    return [
      {
        key: "append",
        over: "element",
        count: batch * added * heads * headDim,
        bindings: [
          { name: "to_k", view: toKeys, access: "update" },
          { name: "to_v", view: toValues, access: "update" },
          { name: "k", view: keys, access: "read" },
          { name: "v", view: values, access: "read" },
        ],
        params: [
          ["added", "u32", added * heads * headDim],
          ["room", "u32", toKeys.shape[1] * heads * headDim],
          ["row", "u32", heads * headDim],
          ["at", "u32", () => attrs.at],
        ],
        main: () => `let to = i / P.added * P.room + P.at * P.row + i % P.added;
  to_k_put(to, k_at(i));
  to_v_put(to, v_at(i));`,
      },
    ];
  },

  gradient: "none: it changes its inputs in place",
  flops: () => 0,
};
