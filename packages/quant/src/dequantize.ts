import { ValueError } from "@graft/tensor";
import { blockFormats, type GgufPacked, ggufDequantize } from "./ggufBlocks.ts";
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

/** The values of packed weights of any scheme, or of GGUF blocks, as float32. */
export function dequantize(packed: Packed, out?: Float32Array): Float32Array {
  const format = blockFormats.get(packed.scheme);
  if (format !== undefined) return ggufDequantize(format, packed as GgufPacked, out);
  return schemeNamed(packed.scheme).dequantize(packed, out);
}
