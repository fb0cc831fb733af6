import fc from "fast-check";
import { fromArray, zeros } from "../../create.ts";
import { packedFormats } from "../../formats/packed/index.ts";
import { packedLayout } from "../../formats/packed/packed.ts";
import { show } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { seeds } from "../../testing/arbitraries.ts";
import type { OpCases, Sample } from "../../testing/cases.ts";
import { type PackedVariant, packedSample, packedVariants } from "../../testing/packed.ts";
import { randomOf } from "../../testing/values.ts";
import { embedding } from "../embedding.ts";
import { packedEmbedding } from "./packedEmbedding.ts";

const sample = (variant: PackedVariant, lead: readonly number[], rows: number, seed = 1): Sample => {
  const { format } = variant;
  const columns = format.columnMultiple === 1 ? 13 : format.columnMultiple;
  const { layout, inputs, reach } = packedSample(variant, [rows, columns], seed);
  const random = randomOf(seed);
  const ids = Array.from({ length: lead.reduce((a, b) => a * b, 1) }, () => Math.floor(random() * rows));
  return {
    inputs: [{ shape: lead, values: ids, dtype: "i32" }, ...inputs],
    call: (given, ...parts) => packedEmbedding({ layout, parts }, given),
    magnitude: (given: Tensor) =>
      embedding(fromArray(given.device, reach, layout.shape, { dtype: "f64" }), given),
    why: `${show(lead)} of ${format.name}${variant.nested ? " nested" : ""} ${show(layout.shape)}, seed ${seed}`,
  };
};

const int8 = packedFormats.get("int8");
if (int8 === undefined) throw new Error("there must be int8");

export const packedEmbeddingCases: OpCases = {
  name: "packedEmbedding",
  torch: "bitsandbytes.nn.Embedding8bit",
  samples: fc
    .record({
      variant: fc.constantFrom(...packedVariants),
      rows: fc.integer({ min: 1, max: 9 }),
      lead: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
      seed: seeds(),
    })
    .map(({ variant, rows, lead, seed }) => sample(variant, lead, rows, seed)),
  edges: packedVariants.map((variant) => sample(variant, [2, 3], 5)),
  errors: [
    {
      call: (device) =>
        packedEmbedding(
          {
            layout: packedLayout(int8, [4, 4]),
            parts: [zeros(device, [4], { dtype: "u32" }), zeros(device, [4])],
          },
          zeros(device, [2]),
        ),
      message: "packedEmbedding: ids must be i32 or u32, got f32. Use cast first.",
    },
  ],
  ulps: 6,
  ulpsWhy: "the scale is put together in up to three roundings, the product and the sum are one each",
  gradient: "none: packed weights are not trained",
};
