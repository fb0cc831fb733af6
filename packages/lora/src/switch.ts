import type { Module } from "@graft/nn";
import { display, LoraError } from "./errors.ts";
import { layersOf } from "./merge.ts";
import { adaptedLayers } from "./targets.ts";

/** Names of the adapters on a model, in the order in which they came. Empty where it has none. */
export function adapterNames(model: Module): string[] {
  return [...new Set(adaptedLayers(model).flatMap(([, layer]) => [...layer.adapters.keys()]))];
}

/** Names of the adapters that take part in `forward`. */
export function activeAdapters(model: Module): string[] {
  return [...new Set(adaptedLayers(model).flatMap(([, layer]) => layer.active))];
}

/**
 * Makes an adapter, or several whose updates are added, the active ones; an empty list leaves the plain base. Those
 * that are active and were made for training take gradients, all others do not.
 *
 * @throws LoraError for a name that the model does not have, and while it is merged
 */
export function setAdapter(model: Module, names: string | readonly string[]): void {
  const wanted = typeof names === "string" ? [names] : [...new Set(names)];
  const layers = layersOf(model, "setAdapter");
  for (const name of wanted) checkKnown(model, name, "setAdapter");
  checkUnmerged(model, "setAdapter");
  for (const [, layer] of layers) layer.setAdapter(wanted);
}

/**
 * Runs a synchronous function on the plain base: every adapter is switched off meanwhile, merged or not.
 * Scopes may be nested. With preferences, this is the reference model for free.
 */
export function disableAdapters<T>(model: Module, fn: () => T): T {
  const layers = layersOf(model, "disableAdapters").map(([, layer]) => layer);
  const before = layers.map((layer) => layer.disabled);
  for (const layer of layers) layer.disabled = true;
  let result: T;
  try {
    result = fn();
  } finally {
    for (const [i, layer] of layers.entries()) layer.disabled = before[i];
  }
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new LoraError(
      "disableAdapters",
      "fn must be synchronous, got an async function. Await outside of it.",
    );
  }
  return result;
}

/**
 * Frees an adapter. Layers that are left without any become the plain layers that they were.
 *
 * @throws LoraError for a name that the model does not have, and while it is merged
 */
export function deleteAdapter(model: Module, name: string): void {
  const layers = layersOf(model, "deleteAdapter");
  checkKnown(model, name, "deleteAdapter");
  checkUnmerged(model, "deleteAdapter");
  for (const [path, layer] of layers) {
    layer.deleteAdapter(name);
    if (layer.adapters.size === 0) model.replace(path, layer.base);
  }
}

/** Throws unless the model has an adapter of that name. */
export function checkKnown(model: Module, name: string, who: string): void {
  const names = adapterNames(model);
  if (!names.includes(name))
    throw new LoraError(
      who,
      `the adapter must be one of ${names.map((known) => display(known)).join(", ")}, got ${display(name)}.`,
    );
}

/** Throws while any layer is merged. */
export function checkUnmerged(model: Module, who: string): void {
  const merged = adaptedLayers(model).find(([, layer]) => layer.merged);
  if (merged !== undefined)
    throw new LoraError(who, `${merged[0]} must not be merged. Call unmergeLora first.`);
}
