import type { LoraConfig } from "./config.ts";
import { compilePattern } from "./pattern.ts";

/**
 * Which paths a configuration selects, by PEFT's rules, where `targetModules` is a list or a pattern. (What
 * "all-linear" and a function select depends on the modules.)
 */
export function pathMatcher(config: LoraConfig): (path: string) => boolean {
  const { targetModules: target } = config;
  if (target === undefined || typeof target === "function") return () => false;
  const excluded = excludedBy(config);
  const matches = byNames(target);
  const inLayers = layerFilter(config);
  // PEFT looks at the layer's number only where an entry is not the whole path.
  const whole: ReadonlySet<string> = new Set(typeof target === "string" ? [] : target);
  return (path) => !excluded(path) && matches(path) && (whole.has(path) || inLayers(path));
}

/** Which paths `excludeModules` takes out, whatever selected them. */
export function excludedBy({ excludeModules }: LoraConfig): (path: string) => boolean {
  return excludeModules === undefined ? () => false : byNames(excludeModules);
}

/** A list matches a path that is an entry or ends in "." + entry; a string is a pattern for the whole path. */
function byNames(names: readonly string[] | string): (path: string) => boolean {
  if (typeof names === "string") return compilePattern(names);
  const all: ReadonlySet<string> = new Set(names);
  return (path) => {
    for (let at = 0; at >= 0; ) {
      if (all.has(path.slice(at))) return true;
      const dot = path.indexOf(".", at);
      at = dot < 0 ? -1 : dot + 1;
    }
    return false;
  };
}

/**
 * The number of a path is its first segment of digits that has two segments before it, or (with `layersPattern`) that
 * follows one of those names; the last segment is never the number.
 */
function layerFilter({ layersToTransform, layersPattern }: LoraConfig): (path: string) => boolean {
  if (layersToTransform === undefined) return () => true;
  const wanted: ReadonlySet<number> = new Set(layersToTransform);
  return (path) => {
    const segments = path.split(".").slice(0, -1);
    const numberAfter = (fits: (i: number) => boolean): string | undefined =>
      segments.find((segment, i) => i > 0 && /^\d+$/.test(segment) && fits(i));
    const found =
      layersPattern === undefined
        ? numberAfter((i) => i > 1)
        : layersPattern
            .map((name) => numberAfter((i) => segments[i - 1] === name))
            .find((n) => n !== undefined);
    return found !== undefined && wanted.has(Number(found));
  };
}
