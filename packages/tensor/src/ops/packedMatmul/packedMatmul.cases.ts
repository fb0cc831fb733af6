import fc from "fast-check";
import { fromArray, zeros } from "../../create.ts";
import { packedFormats } from "../../formats/packed/index.ts";
import { packedLayout } from "../../formats/packed/packed.ts";
import type { Shape } from "../../shape.ts";
import { show } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { seeds, sides } from "../../testing/arbitraries.ts";
import type { OpCases, Sample } from "../../testing/cases.ts";
import { absolute } from "../../testing/magnitude.ts";
import { type PackedVariant, packedSample, packedVariants } from "../../testing/packed.ts";
import { inputOf } from "../../testing/values.ts";
import { matmul } from "../matmul/matmul.ts";
import { packedMatmul } from "./packedMatmul.ts";

const sample = (
  variant: PackedVariant,
  lead: Shape,
  [rows, columns]: readonly [number, number],
  transpose: boolean,
  seed = 1,
  dtype: "f32" | "f16" = "f32",
): Sample => {
  const { layout, inputs, reach } = packedSample(variant, [rows, columns], seed);
  const x = inputOf([...lead, transpose ? columns : rows], seed, { dtype });
  return {
    inputs: [x, ...inputs],
    call: (given, ...parts) => packedMatmul(given, { layout, parts }, { transpose }),
    magnitude: (given: Tensor) =>
      matmul(absolute(given), fromArray(given.device, reach, layout.shape, { dtype: "f64" }), {
        transposeB: transpose,
      }),
    why: `${show(x.shape)} · ${variant.format.name}${variant.nested ? " nested" : ""} ${show(layout.shape)}${transpose ? "ᵀ" : ""}, seed ${seed}`,
  };
};

/** The nearest number of columns that the format can have. */
const wide = ({ format: { columnMultiple } }: PackedVariant, columns: number): number =>
  Math.max(1, Math.round(columns / columnMultiple)) * columnMultiple;

const nf4 = packedFormats.get("nf4");
if (nf4 === undefined) throw new Error("there must be nf4");
const small = packedLayout(nf4, [4, 6]);

export const packedMatmulCases: OpCases = {
  name: "packedMatmul",
  torch: "bitsandbytes.matmul_4bit",
  samples: fc
    .record({
      variant: fc.constantFrom(...packedVariants),
      m: sides(9),
      rows: fc.integer({ min: 1, max: 20 }),
      columns: fc.integer({ min: 1, max: 70 }),
      transpose: fc.boolean(),
      seed: seeds(),
    })
    .map(({ variant, m, rows, columns, transpose, seed }) =>
      sample(variant, [m], [rows, wide(variant, columns)], transpose, seed),
    ),
  edges: [
    ...packedVariants.flatMap((variant) => [
      sample(variant, [3], [5, wide(variant, 44)], true),
      sample(variant, [3], [5, wide(variant, 44)], false),
    ]),
    // Blocks that span rows, a short last one, widths that are no multiple of four.
    sample({ format: nf4 }, [2], [7, 45], true),
    sample({ format: nf4, nested: true }, [2], [7, 45], false),
    sample({ format: nf4, blockSize: 4096 }, [1], [3, 5], true),
    sample({ format: nf4 }, [], [3, 8], true),
    sample({ format: nf4 }, [2, 3], [5, 8], true),
    sample({ format: nf4 }, [2, 1, 3], [8, 5], false),
    sample({ format: nf4 }, [0], [5, 8], true),
    sample({ format: nf4 }, [3], [5, 8], true, 1, "f16"),
  ],
  errors: [
    {
      call: (device) => packedMatmul(zeros(device, [2, 5]), { layout: small, parts: [] }),
      message: "packedMatmul: x must be [..., 6] for a weight [4, 6], got [2, 5].",
    },
    {
      call: (device) =>
        packedMatmul(zeros(device, [2, 6]), { layout: small, parts: [] }, { transpose: false }),
      message: "packedMatmul: x must be [..., 4] for a weight [4, 6] without transpose, got [2, 6].",
    },
    {
      call: (device) => packedMatmul(zeros(device, [2, 6]), { layout: small, parts: [zeros(device, [3])] }),
      message: "packedMatmul: nf4 must have the parts codes, absmax, got 1 tensors.",
    },
    {
      call: (device) =>
        packedMatmul(zeros(device, [2, 6]), {
          layout: small,
          parts: [zeros(device, [3]), zeros(device, [1])],
        }),
      message: "packedMatmul: codes of nf4 must be u32, got f32.",
    },
    {
      call: (device) =>
        packedMatmul(zeros(device, [2, 6]), {
          layout: small,
          parts: [zeros(device, [3], { dtype: "u32" }), zeros(device, [2])],
        }),
      message: "packedMatmul: absmax of nf4 must have 1 values for [4, 6], got [2].",
    },
  ],
  ulps: 264,
  ulpsWhy: "one rounding for each term of the longest sum of these samples, 256, and a few of decoding",
};
