import { type PackedLayout, packedFormats, packedLayout, type Shape, ValueError } from "@graft/tensor";

/** The layout of weights under the name of their scheme. */
export function layoutNamed(
  name: string,
  shape: Shape,
  options?: Parameters<typeof packedLayout>[2],
): PackedLayout {
  const format = packedFormats.get(name);
  if (format === undefined)
    throw new ValueError(
      "layoutNamed",
      `the format must be one of ${[...packedFormats.keys()].join(", ")}, got "${name}".`,
    );
  return packedLayout(format, shape, options);
}
