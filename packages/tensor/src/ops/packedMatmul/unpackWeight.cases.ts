import fc from "fast-check";
import { fromArray } from "../../create.ts";
import { packedFormats } from "../../formats/packed/index.ts";
import { packedLayout } from "../../formats/packed/packed.ts";
import { show } from "../../shape.ts";
import { seeds } from "../../testing/arbitraries.ts";
import type { OpCases, Sample } from "../../testing/cases.ts";
import { type PackedVariant, packedSample, packedVariants } from "../../testing/packed.ts";
import { unpackWeight } from "./unpackWeight.ts";

const sample = (variant: PackedVariant, shape: readonly [number, number], seed = 1): Sample => {
  const { format } = variant;
  const columns = Math.max(1, Math.round(shape[1] / format.columnMultiple)) * format.columnMultiple;
  const { layout, inputs, reach } = packedSample(variant, [shape[0], columns], seed);
  return {
    inputs,
    call: (...parts) => unpackWeight({ layout, parts }),
    magnitude: ({ device }) => fromArray(device, reach, layout.shape, { dtype: "f64" }),
    why: `${format.name}${variant.nested ? " nested" : ""} ${show(layout.shape)}, seed ${seed}`,
  };
};

const int4 = packedFormats.get("int4");
if (int4 === undefined) throw new Error("there must be int4");

export const unpackWeightCases: OpCases = {
  name: "unpackWeight",
  torch: "bitsandbytes.functional.dequantize_4bit",
  samples: fc
    .record({
      variant: fc.constantFrom(...packedVariants),
      rows: fc.integer({ min: 1, max: 9 }),
      columns: fc.integer({ min: 1, max: 70 }),
      seed: seeds(),
    })
    .map(({ variant, rows, columns, seed }) => sample(variant, [rows, columns], seed)),
  edges: packedVariants.flatMap((variant) => [sample(variant, [3, 44]), sample(variant, [5, 47])]),
  errors: [
    {
      call: () => packedLayout(int4, [2, 3, 4]),
      message: "int4: a packed matrix must be [rows, columns], got [2, 3, 4].",
    },
  ],
  ulps: 6,
  ulpsWhy: "the scale is put together in up to three roundings, the product and the sum are one each",
  gradient: "none: packed weights are not trained",
};
