import { type LinearLike, Module, type Parameter } from "@graft/nn";
import {
  add,
  cast,
  type Device,
  type DType,
  dropout,
  linear,
  matmul,
  mul,
  noGrad,
  type Generator as RandomGenerator,
  scope,
  structureChanged,
  type Tensor,
} from "@graft/tensor";
import type { LoraConfig } from "./config.ts";
import { display, LoraError } from "./errors.ts";

/** What one named adapter of one layer is made of. */
export interface LoraAdapterOptions {
  readonly config: LoraConfig;
  readonly rank: number;
  readonly scaling: number;
  /** `[rank, inFeatures]` */
  readonly loraA: Parameter;
  /** `[outFeatures, rank]` */
  readonly loraB: Parameter;
  /** Draws the dropout keys; without one nothing is dropped. */
  readonly generator?: RandomGenerator;
  /** Whether its factors take gradients while it is active. */
  readonly trainable: boolean;
}

/** How far a weight that was packed again lies from what it should be. */
export interface RequantizationError {
  /** The largest difference of a value. */
  readonly largest: number;
  /** Root of the sum of squared differences, over that of the squared values. */
  readonly relative: number;
}

/** The low-rank update of one layer: `x ↦ scaling · ((x · loraAᵀ) · loraBᵀ)`. @see Hu et al. 2021, https://arxiv.org/abs/2106.09685 */
export class LoraAdapter extends Module {
  /** The configuration that it was made from, the same for all layers of an adapter. */
  readonly config: LoraConfig;
  readonly rank: number;
  #scaling: number;
  readonly trainable: boolean;
  loraA: Parameter;
  loraB: Parameter;
  readonly #generator: RandomGenerator | undefined;

  constructor({ config, rank, scaling, loraA, loraB, generator, trainable }: LoraAdapterOptions) {
    super();
    this.config = config;
    this.rank = rank;
    this.#scaling = scaling;
    this.trainable = trainable;
    this.loraA = loraA;
    this.loraB = loraB;
    this.#generator = generator;
  }

  /** alpha / rank, or alpha / √rank. */
  get scaling(): number {
    return this.#scaling;
  }

  set scaling(value: number) {
    structureChanged();
    this.#scaling = value;
  }

  /**
   * The update alone. Scaled between the factors, where there are fewest values.
   * @param x - `[..., inFeatures]`; returns `[..., outFeatures]`
   */
  forward(x: Tensor): Tensor {
    const p = this.config.dropout;
    const drops = this.training && this.trainable && p > 0 && this.#generator !== undefined;
    const kept = drops && this.#generator !== undefined ? dropout(x, p, this.#generator.next()) : x;
    return linear(mul(linear(kept, this.loraA), this.scaling), this.loraB);
  }

  /** `scaling · loraB · loraA`, `[outFeatures, inFeatures]`: what merging adds to the weight. */
  deltaWeight(): Tensor {
    return matmul(mul(this.loraB, this.scaling), this.loraA);
  }
}

/**
 * A frozen layer with named low-rank updates: `y = base(x) + Σ over active adapters of
 * scaling · ((dropout(x) · loraAᵀ) · loraBᵀ)`. The base may be of any kind that acts as a linear layer.
 */
export class LoraLinear extends Module implements LinearLike {
  /** The layer as it was. Never changed. */
  readonly base: LinearLike;
  #disabled = false;
  readonly #adapters = new Map<string, LoraAdapter>();
  #active: readonly string[] = [];
  #merged: LinearLike | undefined;

  constructor(base: LinearLike) {
    super();
    this.base = base;
    this.training = base.training;
  }

  /** Switched off, the layer acts as its base. See `disableAdapters`. */
  get disabled(): boolean {
    return this.#disabled;
  }

  set disabled(value: boolean) {
    if (value !== this.#disabled) structureChanged();
    this.#disabled = value;
  }

  get inFeatures(): number {
    return this.base.inFeatures;
  }

  get outFeatures(): number {
    return this.base.outFeatures;
  }

  get fanInFanOut(): boolean {
    return this.base.fanInFanOut ?? false;
  }

  /** Adapters by name, in the order in which they were added. */
  get adapters(): ReadonlyMap<string, LoraAdapter> {
    return this.#adapters;
  }

  /** Names of the adapters that take part in `forward`. */
  get active(): readonly string[] {
    return this.#active;
  }

  /** Whether the active adapters are merged into a weight of their own. */
  get merged(): boolean {
    return this.#merged !== undefined;
  }

  override *namedChildren(): Generator<[string, Module]> {
    yield ["base", this.base];
    for (const [name, adapter] of this.#adapters) yield [name, adapter];
    if (this.#merged !== undefined) yield ["merged", this.#merged];
  }

  /** @param x - `[..., inFeatures]`; returns `[..., outFeatures]` */
  forward(x: Tensor): Tensor {
    if (this.disabled) return this.base.forward(x);
    if (this.#merged !== undefined) return this.#merged.forward(x);
    let y = this.base.forward(x);
    for (const adapter of this.#activeAdapters()) y = add(y, adapter.forward(x));
    return y;
  }

  /** Adds an adapter without activating it. The name must be free. */
  addAdapter(name: string, adapter: LoraAdapter): void {
    if (this.#adapters.has(name))
      throw new LoraError("addAdapter", `there is already an adapter ${display(name)}.`);
    this.#adapters.set(name, adapter.train(this.training));
    this.#setGradients();
  }

  /** Makes these adapters the active ones; those that this layer does not have are passed over. */
  setAdapter(names: readonly string[]): void {
    this.#checkUnmerged("setAdapter");
    this.#active = names.filter((name) => this.#adapters.has(name));
    this.#setGradients();
  }

  /** Frees an adapter, if the layer has it. */
  deleteAdapter(name: string): void {
    this.#checkUnmerged("deleteAdapter");
    structureChanged();
    this.#adapters.get(name)?.dispose();
    this.#adapters.delete(name);
    this.#active = this.#active.filter((active) => active !== name);
  }

  /** W plus the updates of the active adapters, `[outFeatures, inFeatures]`, in the dtype of W. */
  denseWeight(): Tensor {
    if (this.#merged !== undefined) return this.#merged.denseWeight();
    const weight = this.base.denseWeight();
    const adapters = this.#activeAdapters();
    if (adapters.length === 0) return weight;
    // Added in the factors' type, rounded to the weight's once.
    const sum = adapters.reduce(
      (w, adapter) => add(w, adapter.deltaWeight()),
      cast(weight, adapters[0].loraA.dtype),
    );
    return cast(sum, weight.dtype);
  }

  withWeight(weight: Tensor): LinearLike {
    return this.base.withWeight(weight);
  }

  /** Puts a layer with the active adapters' updates in its weight beside the base, which is kept as it is. */
  merge(): void {
    if (this.#merged !== undefined || this.#active.length === 0) return;
    structureChanged();
    this.#merged = this.mergedLayer();
  }

  /**
   * As `merge`, with the sum packed as the base's weight is, which moves it by up to what the scheme rounds. The base
   * must be packed.
   */
  async mergePacked(): Promise<RequantizationError> {
    const { base } = this;
    if (base.requantized === undefined)
      throw new LoraError("mergePacked", "the base must be a packed layer, got a dense one. Call merge.");
    using sum = scope(() => noGrad(() => this.denseWeight()));
    const merged = await base.requantized(sum);
    using back = scope(() => noGrad(() => merged.denseWeight()));
    const [wanted, got] = [await sum.toArray(), await back.toArray()];
    structureChanged();
    this.#merged = merged.train(this.training);
    let largest = 0;
    let squares = 0;
    let norm = 0;
    for (const [i, value] of wanted.entries()) {
      const difference = Math.abs(got[i] - value);
      largest = Math.max(largest, difference);
      squares += difference ** 2;
      norm += value ** 2;
    }
    return { largest, relative: norm === 0 ? 0 : Math.sqrt(squares / norm) };
  }

  /** Drops the merged layer; the base is what it was, bit for bit. */
  unmerge(): void {
    structureChanged();
    const merged = this.#merged;
    this.#merged = undefined;
    if (merged !== undefined) disposeUnshared(merged, this.base);
  }

  /** A layer like the base with the active adapters' updates in its weight; the base itself without any. */
  mergedLayer(): LinearLike {
    if (this.#merged !== undefined) return this.#merged;
    if (this.#active.length === 0) return this.base;
    return scope(() => noGrad(() => this.base.withWeight(this.denseWeight()))).train(this.training);
  }

  /** As `mergedLayer`, and the layer that it gives belongs to the caller. */
  detachMerged(): LinearLike {
    const layer = this.mergedLayer();
    structureChanged();
    this.#merged = undefined;
    return layer;
  }

  /** Frees the adapters and what was merged, but not the base. */
  release(): void {
    this.unmerge();
    for (const adapter of this.#adapters.values()) adapter.dispose();
    this.#adapters.clear();
    this.#active = [];
  }

  #activeAdapters(): LoraAdapter[] {
    return this.#active.flatMap((name) => this.#adapters.get(name) ?? []);
  }

  /** The active adapters or what they are have changed. */
  #setGradients(): void {
    structureChanged();
    for (const [name, adapter] of this.#adapters) {
      if (this.#active.includes(name) && adapter.trainable) adapter.unfreeze();
      else adapter.freeze();
    }
  }

  #checkUnmerged(who: string): void {
    if (this.#merged !== undefined)
      throw new LoraError(who, "the adapters must not be merged. Call unmergeLora first.");
  }
}

/** Where the factors of an adapter on `layer` have to live. */
export function homeOf(layer: LinearLike): { device: Device; dtype: DType } | undefined {
  const base = layer instanceof LoraLinear ? layer.base : layer;
  const parameters = base.parameters();
  if (parameters.length === 0) return undefined;
  // f32 over every base but an f64 one (the CPU device's, for checks).
  return {
    device: parameters[0].device,
    dtype: parameters.some(({ dtype }) => dtype === "f64") ? "f64" : "f32",
  };
}

/** Frees the parameters of `module` that `other` does not have. */
export function disposeUnshared(module: Module, other: Module): void {
  const shared = new Set<Parameter>(other.parameters());
  for (const parameter of module.parameters()) if (!shared.has(parameter)) parameter.dispose();
}
