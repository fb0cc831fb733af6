import { isLinearLike, type LinearLike, type Module, Parameter } from "@graft/nn";
import { isAllLinear, type LoraConfig, shapeAt } from "./config.ts";
import { LoraError, quote } from "./errors.ts";
import { LoraLinear } from "./loraLinear.ts";
import { excludedBy, pathMatcher } from "./matching.ts";

/** A layer that an adapter goes on. */
export interface Target {
  /** Where the layer stands in the model, as in its checkpoint. */
  readonly path: string;
  /** What stands there now: a plain layer, or a LoraLinear that has other adapters. */
  readonly layer: LinearLike;
  readonly rank: number;
  readonly alpha: number;
  readonly scaling: number;
}

export interface TargetOptions {
  /** Chooses the default targets where the configuration names none. Default: `model.config.modelType`. */
  readonly modelType?: string;
  /** Also accepts layers that share their weight with another, such as a tied output head. Default false. */
  readonly allowTied?: boolean;
  /** Accepts names that match nothing as long as another one does, as PEFT. Default false. */
  readonly allowUnmatched?: boolean;
}

/** What PEFT takes where `target_modules` is null. */
const defaultTargets: ReadonlyMap<string, readonly string[]> = new Map([
  ...["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2"].map((type): [string, string[]] => [
    type,
    ["q_proj", "v_proj"],
  ]),
  ["gpt2", ["c_attn"]],
]);

/** Output heads by the names that checkpoints use, at the top of the model. */
const heads: ReadonlySet<string> = new Set(["lm_head", "embed_out"]);

/** The module, and all below it that have a place in the base's checkpoint: what is inside a LoraLinear has none. */
export function* baseModules(module: Module, path = ""): Generator<[string, Module]> {
  yield [path, module];
  if (module instanceof LoraLinear) return;
  for (const [name, child] of module.namedChildren())
    yield* baseModules(child, path === "" ? name : `${path}.${name}`);
}

/** The adapted layers of a model, with their paths. */
export function adaptedLayers(model: Module): [string, LoraLinear][] {
  const found: [string, LoraLinear][] = [];
  for (const [path, module] of baseModules(model))
    if (module instanceof LoraLinear) found.push([path, module]);
  return found;
}

/**
 * The layers that a configuration selects, by PEFT's rules, in the model's order. Changes nothing.
 *
 * @throws LoraError when nothing is selected, when a name matches nothing, and for layers that cannot be adapted
 */
export function findTargets(
  model: Module,
  config: LoraConfig,
  options: TargetOptions,
  who: string,
): Target[] {
  const resolved = {
    ...config,
    targetModules: config.targetModules ?? targetsOf(model, options.modelType, who),
  };
  const modules = [...baseModules(model)].filter(([path]) => path !== "");
  const matches = matcherOf(resolved);
  const chosen: Target[] = [];
  const other: string[] = [];
  for (const [path, module] of modules) {
    if (!matches(path, module)) continue;
    if (isLinearLike(module)) chosen.push({ path, layer: module, ...shapeAt(config, path) });
    else if (typeof resolved.targetModules !== "function") other.push(`${path} (${module.constructor.name})`);
  }
  const linears = modules.filter(([, module]) => isLinearLike(module)).map(([path]) => path);
  const { targetModules } = resolved;
  if (other.length > 0)
    throw new LoraError(
      who,
      `targets must be linear layers, got ${other.slice(0, 5).join(", ")}${other.length > 5 ? ", ..." : ""}. ${candidates(linears)}`,
    );
  if (Array.isArray(targetModules) && !options.allowUnmatched)
    checkNames(
      targetModules,
      modules.map(([path]) => path),
      linears,
      who,
    );
  if (chosen.length === 0) throw new LoraError(who, `${describe(resolved)} no layer. ${candidates(linears)}`);
  if (!options.allowTied) checkTied(model, chosen, who);
  return chosen;
}

function targetsOf(model: Module, modelType: string | undefined, who: string): readonly string[] {
  const config: unknown = Reflect.get(model, "config");
  const type =
    modelType ??
    (typeof config === "object" && config !== null ? Reflect.get(config, "modelType") : undefined);
  const targets = defaultTargets.get(String(type));
  if (targets === undefined)
    throw new LoraError(
      who,
      `targetModules must be given for a model of type ${type === undefined ? "unknown" : quote(String(type))}. Defaults are known for ${[...defaultTargets.keys()].join(", ")}.`,
    );
  return targets;
}

function matcherOf(config: LoraConfig): (path: string, module: Module) => boolean {
  const { targetModules: target } = config;
  if (typeof target !== "function" && !isAllLinear(target)) return pathMatcher(config);
  const excluded = excludedBy(config);
  if (typeof target === "function")
    return (path, module) => isLinearLike(module) && !excluded(path) && target(path, module);
  return (path, module) => isLinearLike(module) && !heads.has(path) && !excluded(path);
}

function checkNames(
  names: readonly string[],
  paths: readonly string[],
  linears: readonly string[],
  who: string,
): void {
  const lost = names
    .filter((name) => !paths.some((path) => path === name || path.endsWith(`.${name}`)))
    .sort();
  if (lost.length === 0) return;
  const text = lost.slice(0, 10).map(quote).join(", ");
  const matches = lost.length === 1 ? `target ${text} matches` : `${lost.length} targets match`;
  throw new LoraError(
    who,
    `${matches} no layer${lost.length === 1 ? "" : `: ${text}`}. ${candidates(linears)}`,
  );
}

function describe({ targetModules, layersToTransform, excludeModules }: LoraConfig): string {
  const what =
    typeof targetModules === "function"
      ? "the function given as targetModules selects"
      : typeof targetModules === "string"
        ? `target ${quote(targetModules)} matches`
        : `${(targetModules ?? []).length === 1 ? "target" : "targets"} ${(targetModules ?? []).slice(0, 10).map(quote).join(", ")} ${(targetModules ?? []).length === 1 ? "matches" : "match"}`;
  const narrowed = [
    ...(layersToTransform === undefined ? [] : ["layersToTransform"]),
    ...(excludeModules === undefined ? [] : ["excludeModules"]),
  ];
  return narrowed.length === 0 ? what : `with ${narrowed.join(" and ")}, ${what}`;
}

/** "Linear layers are: q_proj, v_proj (30 times each)…", by their last names. */
function candidates(paths: readonly string[]): string {
  if (paths.length === 0) return "The model has no linear layers.";
  const counts = new Map<string, number>();
  for (const path of paths) {
    const name = path.slice(path.lastIndexOf(".") + 1);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const names = [...counts].map(([name, count]) => (count === 1 ? name : `${name} (${count} times)`));
  return `Linear layers are: ${names.slice(0, 20).join(", ")}${names.length > 20 ? ", ..." : ""}.`;
}

function checkTied(model: Module, targets: readonly Target[], who: string): void {
  const owners = new Map<Parameter, string[]>();
  for (const [path, module] of model.namedModules()) {
    for (const value of Object.values(module)) {
      if (value instanceof Parameter) owners.set(value, [...(owners.get(value) ?? []), path]);
    }
  }
  for (const { path, layer } of targets) {
    for (const parameter of layer.parameters()) {
      const others = (owners.get(parameter) ?? []).filter(
        (owner) => owner !== path && !owner.startsWith(`${path}.`),
      );
      if (others.length === 0) continue;
      throw new LoraError(
        who,
        `targets must have a weight of their own, but ${path} shares its weight with ${others.join(", ")}. An adapter would change ${path} alone, and merging it would untie them. Leave it out, or allow it with allowTied.`,
      );
    }
  }
}
