import { type Module, Parameter } from "@graft/nn";
import { cast, isFinite, logicalNot, noGrad, scope, sum, type Tensor } from "@graft/tensor";
import { LoraError, listed } from "./errors.ts";
import { disposeUnshared, type LoraLinear, type RequantizationError } from "./loraLinear.ts";
import { adaptedLayers } from "./targets.ts";

export interface MergeOptions {
  /** Refuse, before anything changes, to make a weight that is infinite or not a number. Default true. */
  readonly safe?: boolean;
  /**
   * What happens to layers in few bits. "dequantize": the merged layer is dense, nothing is rounded. "requantize": it is
   * packed as the base is, and the report says by how much that moved the weight; updates smaller than half a step of
   * the codes may vanish. "refuse": nothing is merged. Default "dequantize".
   */
  readonly quantized?: "dequantize" | "requantize" | "refuse";
}

/** What packing a merged weight again did to it. */
export interface RequantizedLayer extends RequantizationError {
  readonly path: string;
}

/** What a merge did. */
export interface MergeReport {
  /** Paths of the layers that now have the updates in their weight. */
  readonly merged: readonly string[];
  /** Those among them whose weight was tied to another layer's and no longer is. */
  readonly untied: readonly string[];
  /** Those whose merged weight was packed again. */
  readonly requantized: readonly RequantizedLayer[];
}

/**
 * Adds the active adapters' updates to the weights they belong to: `W + scaling · B · A`, added in f32 and rounded to
 * the weight's dtype once. The old weights, packed ones too, are kept, so `unmergeLora` gives them back bit for bit; that
 * costs their memory twice. Without a need to go back, use `mergeAndUnload`.
 *
 * @throws LoraError when the model has no active adapter, is merged already, or (with `safe`) a sum is not finite
 */
export async function mergeLora(
  model: Module,
  { safe = true, quantized = "dequantize" }: MergeOptions = {},
): Promise<MergeReport> {
  const layers = layersToMerge(model, "mergeLora");
  if (quantized === "refuse") checkDense(layers, "mergeLora");
  if (safe) await checkFinite(layers, "mergeLora");
  const requantized = quantized === "requantize" ? await mergePacked(layers) : [];
  for (const [, layer] of layers) layer.merge();
  return { ...reportOf(model, layers), requantized };
}

/**
 * Undoes `mergeLora`. Every weight is what it was, bit for bit; layers that are not merged stay as they are.
 *
 * @throws LoraError when the model has no adapters
 */
export function unmergeLora(model: Module): void {
  for (const [, layer] of layersOf(model, "unmergeLora")) layer.unmerge();
}

/**
 * Takes all adapters off: every layer is again the one that was there before, of whatever kind. What they learned is
 * lost. Parameters stay frozen, as they were; call `unfreeze` to train them.
 *
 * @throws LoraError when the model has no adapters
 */
export function removeLora(model: Module): void {
  for (const [path, layer] of layersOf(model, "removeLora")) {
    layer.release();
    model.replace(path, layer.base);
  }
}

/**
 * Merges the active adapters for good and leaves a model of plain layers, the old weights freed one by one.
 *
 * @throws LoraError as `mergeLora`; the model is then unchanged
 */
export async function mergeAndUnload(
  model: Module,
  { safe = true, quantized = "dequantize" }: MergeOptions = {},
): Promise<MergeReport> {
  const all = layersOf(model, "mergeAndUnload");
  const layers = all.filter(([, layer]) => layer.merged || layer.active.length > 0);
  if (layers.length === 0) throw noneActive("mergeAndUnload");
  const unmerged = layers.filter(([, layer]) => !layer.merged);
  if (quantized === "refuse") checkDense(unmerged, "mergeAndUnload");
  if (safe) await checkFinite(unmerged, "mergeAndUnload");
  const requantized = quantized === "requantize" ? await mergePacked(unmerged) : [];
  const report = { ...reportOf(model, layers), requantized };
  for (const [path, layer] of all) {
    const merged = layer.detachMerged();
    model.replace(path, merged);
    layer.release();
    // Tied weights and shared biases live on in the model.
    if (merged !== layer.base) disposeUnshared(layer.base, model);
  }
  return report;
}

/** The adapted layers; at least one. */
export function layersOf(model: Module, who: string): [string, LoraLinear][] {
  const layers = adaptedLayers(model);
  if (layers.length === 0)
    throw new LoraError(
      who,
      "the model must have adapters, found none. Call injectLora or loadAdapter first.",
    );
  return layers;
}

function layersToMerge(model: Module, who: string): [string, LoraLinear][] {
  const layers = layersOf(model, who);
  const merged = layers.filter(([, layer]) => layer.merged).map(([path]) => path);
  if (merged.length > 0)
    throw new LoraError(
      who,
      `the layers must not be merged already: ${listed(merged, 3)}\nCall unmergeLora first.`,
    );
  const active = layers.filter(([, layer]) => layer.active.length > 0);
  if (active.length === 0) throw noneActive(who);
  return active;
}

function noneActive(who: string): LoraError {
  return new LoraError(who, "at least one adapter must be active, found none. Call setAdapter first.");
}

/** Merges the packed ones among the layers, all or none. */
async function mergePacked(layers: readonly (readonly [string, LoraLinear])[]): Promise<RequantizedLayer[]> {
  const packed = layers.filter(([, { base }]) => base.requantized !== undefined);
  const done: RequantizedLayer[] = [];
  try {
    for (const [path, layer] of packed) done.push({ path, ...(await layer.mergePacked()) });
  } catch (error) {
    for (const [, layer] of packed) layer.unmerge();
    throw error;
  }
  return done;
}

function checkDense(layers: readonly (readonly [string, LoraLinear])[], who: string): void {
  const packed = layers.filter(([, { base }]) => base.requantized !== undefined).map(([path]) => path);
  if (packed.length > 0)
    throw new LoraError(
      who,
      `the layers must not be quantized: ${listed(packed, 3)}\nPass quantized: "dequantize" or "requantize".`,
    );
}

async function checkFinite(layers: readonly (readonly [string, LoraLinear])[], who: string): Promise<void> {
  const counts: [string, Tensor][] = [];
  const problems: string[] = [];
  try {
    for (const [path, layer] of layers) {
      const bad = (): Tensor => sum(cast(logicalNot(isFinite(layer.denseWeight())), "f32"));
      counts.push([path, scope(() => noGrad(bad))]);
    }
    for (const [path, count] of counts) {
      const n = await count.item();
      if (n > 0) problems.push(`${path}: ${n} of its values would be infinite or not a number`);
    }
  } finally {
    for (const [, count] of counts) count.dispose();
  }
  if (problems.length > 0)
    throw new LoraError(
      who,
      `merged weights must be finite: ${listed(problems)}\nThe adapter or the base is damaged. Nothing was merged.`,
    );
}

function reportOf(
  model: Module,
  layers: readonly (readonly [string, LoraLinear])[],
): Omit<MergeReport, "requantized"> {
  const uses = new Map<Parameter, number>();
  for (const [, module] of model.namedModules()) {
    for (const value of Object.values(module))
      if (value instanceof Parameter) uses.set(value, (uses.get(value) ?? 0) + 1);
  }
  const tied = layers.filter(([, { base }]) =>
    Object.values(base).some(
      (value) => value instanceof Parameter && value.rank > 1 && (uses.get(value) ?? 0) > 1,
    ),
  );
  return { merged: layers.map(([path]) => path), untied: tied.map(([path]) => path) };
}
