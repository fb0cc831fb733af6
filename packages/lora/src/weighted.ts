import { type Module, Parameter } from "@graft/nn";
import { add, clone, concat, mul, noGrad, scope, type Tensor } from "@graft/tensor";
import type { LoraConfig } from "./config.ts";
import { display, LoraError } from "./errors.ts";
import { checkFree, withNames } from "./inject.ts";
import { LoraAdapter, type LoraLinear } from "./loraLinear.ts";
import { layersOf } from "./merge.ts";
import { checkKnown } from "./switch.ts";

export interface WeightedAdapterOptions {
  /** Name of the new adapter. */
  readonly adapterName: string;
  /** Adapters to combine and what each counts; negative weights subtract. */
  readonly weights: Readonly<Record<string, number>>;
  /**
   * `"cat"`: exactly `Σ weight · deltaWeight`, at the sum of the ranks. `"linear"`: as PEFT, A's and B's are summed
   * separately, at the same rank; with two or more adapters that has cross terms and is not the sum of the updates.
   * Default "cat".
   */
  readonly combination?: "cat" | "linear";
}

/**
 * Makes a new adapter out of others; not active until `setAdapter`. Its alpha is its rank, so its scaling is 1.
 *
 * @throws LoraError for unknown names and, with "linear", for ranks that differ
 */
export function addWeightedAdapter(
  model: Module,
  { adapterName, weights, combination = "cat" }: WeightedAdapterOptions,
): void {
  const who = "addWeightedAdapter";
  layersOf(model, who);
  checkFree(model, adapterName, who);
  const parts = Object.entries(weights);
  if (parts.length === 0) throw new LoraError(who, "weights must name at least one adapter, got none.");
  for (const [name, weight] of parts) {
    checkKnown(model, name, who);
    if (!Number.isFinite(weight))
      throw new LoraError(who, `the weight of ${display(name)} must be finite, got ${weight}.`);
  }
  if (combination !== "cat" && combination !== "linear")
    throw new LoraError(who, `combination must be "cat" or "linear", got ${display(combination)}.`);

  const sites = layersOf(model, who).flatMap(([path, layer]) => {
    const found = partsAt(layer, parts);
    return found.length === 0 ? [] : [{ path, layer, parts: found, rank: rankOf(path, found, combination) }];
  });
  const config = configOf(model, parts[0][0], sites);
  const { trainable } = sites[0].parts[0].adapter;
  const adapters = sites.map(({ layer, parts: found, rank }) => {
    const { loraA, loraB } = combination === "cat" ? concatenated(found) : summed(found);
    return { layer, adapter: new LoraAdapter({ config, rank, scaling: 1, loraA, loraB, trainable }) };
  });
  for (const { layer, adapter } of adapters) layer.addAdapter(adapterName, adapter);
}

interface Part {
  readonly adapter: LoraAdapter;
  readonly weight: number;
}

interface Site {
  readonly path: string;
  readonly layer: LoraLinear;
  readonly rank: number;
}

function partsAt(layer: LoraLinear, weights: readonly (readonly [string, number])[]): Part[] {
  return weights.flatMap(([name, weight]) => {
    const adapter = layer.adapters.get(name);
    return adapter === undefined ? [] : [{ adapter, weight }];
  });
}

function rankOf(path: string, parts: readonly Part[], combination: "cat" | "linear"): number {
  const ranks = parts.map(({ adapter }) => adapter.rank);
  if (combination === "cat") return ranks.reduce((sum, rank) => sum + rank, 0);
  if (new Set(ranks).size > 1)
    throw new LoraError(
      "addWeightedAdapter",
      `ranks must be equal for "linear", got ${ranks.join(", ")} at ${path}. Use "cat".`,
    );
  return ranks[0];
}

/** Alpha equals the rank at every layer, so that the scaling is 1 also for a reader of the file. */
function configOf(model: Module, first: string, sites: readonly Site[]): LoraConfig {
  const like = layersOf(model, "addWeightedAdapter").flatMap(
    ([, layer]) => layer.adapters.get(first) ?? [],
  )[0].config;
  const rank = sites[0].rank;
  const ranks = new Map(
    sites
      .filter((site) => site.rank !== rank)
      .map((site) => [site.path.replaceAll(/[^A-Za-z0-9_]/g, "\\$&"), site.rank]),
  );
  const config = {
    ...like,
    rank,
    alpha: rank,
    useRslora: false,
    rankPattern: ranks,
    alphaPattern: ranks,
    targetModules: () => true,
    excludeModules: undefined,
    layersToTransform: undefined,
    layersPattern: undefined,
  };
  return withNames(
    model,
    config,
    sites.map(({ path, layer }) => ({ path, layer, rank, alpha: rank, scaling: 1 })),
  );
}

/** A = [weight · scaling · A…], B = [B…]: the product is the weighted sum of the updates. */
function concatenated(parts: readonly Part[]): { loraA: Parameter; loraB: Parameter } {
  return {
    loraA: made(() =>
      concat(
        parts.map(({ adapter, weight }) => mul(adapter.loraA, weight * adapter.scaling)),
        0,
      ),
    ),
    loraB: made(() =>
      concat(
        parts.map(({ adapter }) => adapter.loraB),
        1,
      ),
    ),
  };
}

/** A = Σ ±√|weight · scaling| · A, B = Σ √|weight · scaling| · B; the sign goes with A. */
function summed(parts: readonly Part[]): { loraA: Parameter; loraB: Parameter } {
  const factor = ({ adapter, weight }: Part): number => weight * adapter.scaling;
  const total = (terms: readonly Tensor[]): Tensor => terms.reduce((sum, term) => add(sum, term));
  return {
    loraA: made(() =>
      total(
        parts.map((part) =>
          mul(part.adapter.loraA, Math.sign(factor(part)) * Math.sqrt(Math.abs(factor(part)))),
        ),
      ),
    ),
    loraB: made(() => total(parts.map((part) => mul(part.adapter.loraB, Math.sqrt(Math.abs(factor(part))))))),
  };
}

function made(fn: () => Tensor): Parameter {
  return scope(() => noGrad(() => new Parameter(clone(fn()))));
}
