import { ValueError } from "@graft/tensor";
import type { Packed, Scheme } from "./scheme.ts";
import * as schemes from "./schemes/index.ts";

const byName: ReadonlyMap<string, Scheme> = new Map(
  Object.values(schemes).map((scheme: Scheme) => [scheme.name, scheme]),
);

/** @throws ValueError with the names there are */
export function schemeNamed(name: string): Scheme {
  const scheme = byName.get(name);
  if (scheme === undefined)
    throw new ValueError(
      "schemeNamed",
      `scheme must be one of ${[...byName.keys()].join(", ")}, got "${name}".`,
    );
  return scheme;
}

/** The values of packed weights of any scheme, as float32. */
export function dequantize(packed: Packed, out?: Float32Array): Float32Array {
  return schemeNamed(packed.scheme).dequantize(packed, out);
}
