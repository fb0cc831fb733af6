import type { WeightFormat } from "../format.ts";
import * as weightFormats from "../index.ts";
import { blockFormat } from "./blocks.ts";
import { fp4 } from "./fp4.ts";
import { int4, int4Asymmetric } from "./int4.ts";
import { int8 } from "./int8.ts";
import { nf4 } from "./nf4.ts";
import type { PackedFormat } from "./packed.ts";

const blocks = Object.values(weightFormats).flatMap((format: WeightFormat) =>
  format.wgsl === undefined ? [] : [blockFormat(format, format.wgsl)],
);

/** How matrices lie in few bits on a device, by the names of their quantization schemes. */
export const packedFormats: ReadonlyMap<string, PackedFormat> = new Map(
  [nf4, fp4, int8, int4, int4Asymmetric, ...blocks].map((format) => [format.name, format]),
);
