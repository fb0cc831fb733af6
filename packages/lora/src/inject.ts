import type { Module } from "@graft/nn";
import type { Device, Generator } from "@graft/tensor";
import { type LoraConfig, type LoraOptions, loraConfig } from "./config.ts";
import { display, LoraError, listed } from "./errors.ts";
import { type Factors, newFactors } from "./init.ts";
import { homeOf, LoraAdapter, LoraLinear } from "./loraLinear.ts";
import { adaptedLayers, baseModules, findTargets, type Target, type TargetOptions } from "./targets.ts";

export interface InjectOptions extends Omit<TargetOptions, "allowUnmatched"> {
  /** Draws the initial factors and, while training, the dropout keys. */
  readonly generator: Generator;
  /** Default "default". */
  readonly adapterName?: string;
  /** Where the factors live. Default: where the base's parameters are. */
  readonly device?: Device;
}

/** What an injection did. */
export interface InjectReport {
  readonly adapterName: string;
  /** Paths of the layers that now have the adapter, in the model's order. */
  readonly replaced: readonly string[];
  /** Values that are trained, and all values of the model. */
  readonly trainable: number;
  readonly total: number;
  /** "trainable params: 460,800 || all params: 134,975,808 || trainable%: 0.3414" */
  readonly summary: string;
}

/**
 * Freezes the model and puts a new adapter on every layer that the configuration selects; in place. The new adapter
 * becomes the active one, alone. A model that has adapters already gets another one, under another name.
 *
 * @throws LoraError when nothing matches or an option cannot be honoured; the model is then unchanged
 */
export function injectLora(model: Module, options: LoraOptions, injectOptions: InjectOptions): InjectReport {
  const { generator, adapterName = "default", device } = injectOptions;
  const config = loraConfig(options, "injectLora");
  checkFree(model, adapterName, "injectLora");
  const targets = findTargets(model, config, injectOptions, "injectLora");
  return attachAdapter(model, targets, {
    config: withNames(model, config, targets),
    adapterName,
    device,
    generator,
    trainable: true,
    who: "injectLora",
    factors: (_, factorOptions) => newFactors(factorOptions, config.initLoraWeights, generator),
  });
}

export interface AttachOptions {
  readonly config: LoraConfig;
  readonly adapterName: string;
  readonly device: Device | undefined;
  readonly generator: Generator | undefined;
  readonly trainable: boolean;
  readonly who: string;
  readonly factors: (target: Target, options: Parameters<typeof newFactors>[0]) => Factors;
}

/** Puts an adapter on layers that were found and checked. */
export function attachAdapter(
  model: Module,
  targets: readonly Target[],
  options: AttachOptions,
): InjectReport {
  const { config, adapterName, generator, trainable, who } = options;
  // All factors first: when memory runs out, the model is still as it was.
  const made: [Target, LoraAdapter][] = [];
  try {
    for (const target of targets) {
      const { path, layer, rank, scaling } = target;
      const { inFeatures, outFeatures } = layer;
      const home = homeOf(layer);
      const device = options.device ?? home?.device;
      if (device === undefined)
        throw new LoraError(
          who,
          `a device must be given, ${path} has no parameters to tell it. Pass device.`,
        );
      const place = { device, dtype: home?.dtype ?? "f32", rank, inFeatures, outFeatures } as const;
      const factors = options.factors(target, place);
      made.push([target, new LoraAdapter({ config, rank, scaling, ...factors, generator, trainable })]);
    }
  } catch (error) {
    for (const [, adapter] of made) adapter.dispose();
    throw error;
  }
  model.freeze();
  for (const [{ path, layer }, adapter] of made) {
    const wrapped = layer instanceof LoraLinear ? layer : new LoraLinear(layer);
    wrapped.addAdapter(adapterName, adapter);
    if (wrapped !== layer) model.replace(path, wrapped);
  }
  for (const [, layer] of adaptedLayers(model)) layer.setAdapter([adapterName]);
  const { trainable: trained, total } = model.parameterCount();
  return {
    adapterName,
    replaced: targets.map(({ path }) => path),
    trainable: trained,
    total,
    summary: trainableSummary(model),
  };
}

/** The line that PEFT prints: `trainable params: X || all params: Y || trainable%: Z`. */
export function trainableSummary(model: Module): string {
  const { trainable, total } = model.parameterCount();
  const percent = total === 0 ? 0 : (100 * trainable) / total;
  return `trainable params: ${grouped(trainable)} || all params: ${grouped(total)} || trainable%: ${percent.toFixed(4)}`;
}

function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Names become folders and parts of parameter names; PEFT cannot read back those that contain "lora". */
export function checkName(name: string, who: string): void {
  const plain = typeof name === "string" && /^[A-Za-z0-9_-]{1,64}$/.test(name);
  if (plain && !name.toLowerCase().includes("lora") && name !== "base" && name !== "merged") return;
  throw new LoraError(
    who,
    `the adapter's name must be up to 64 letters, digits, _ and -, not "base" or "merged" and without "lora" in it, got ${display(name)}.`,
  );
}

/** A new adapter needs a name that is free and a model that is not merged. */
export function checkFree(model: Module, name: string, who: string): void {
  checkName(name, who);
  const layers = adaptedLayers(model);
  if (layers.some(([, layer]) => layer.adapters.has(name)))
    throw new LoraError(
      who,
      `the adapter's name must be new, but the model has one called ${display(name)}. Pass another adapterName, or call deleteAdapter first.`,
    );
  const merged = layers.filter(([, layer]) => layer.merged).map(([path]) => path);
  if (merged.length > 0)
    throw new LoraError(who, `the model must not be merged: ${listed(merged, 3)}\nCall unmergeLora first.`);
}

/**
 * The configuration with what was selected written out where a file could not say it: last names ("q_proj") if they
 * select the same layers, whole paths otherwise. Lists and patterns stay as they are.
 */
export function withNames(model: Module, config: LoraConfig, targets: readonly Target[]): LoraConfig {
  const { targetModules } = config;
  const isPattern = typeof targetModules === "string" && targetModules.toLowerCase() !== "all-linear";
  if (Array.isArray(targetModules) || isPattern) return config;
  const chosen = new Set(targets.map(({ path }) => path));
  const last = (path: string): string => path.slice(path.lastIndexOf(".") + 1);
  const names = new Set([...chosen].map(last));
  const others = [...baseModules(model)]
    .map(([path]) => path)
    .filter((path) => path !== "" && !chosen.has(path));
  const entries = others.some((path) => names.has(last(path))) ? chosen : names;
  // A whole path can be the end of another one; what has been left out otherwise needs no mention.
  const caught = others.filter((path) => [...entries].some((entry) => path.endsWith(`.${entry}`)));
  return {
    ...config,
    targetModules: [...entries].sort(),
    excludeModules: caught.length > 0 ? caught : undefined,
  };
}
