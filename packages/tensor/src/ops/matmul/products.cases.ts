import fc from "fast-check";
import { fromArray, zeros } from "../../create.ts";
import type { DType } from "../../dtype.ts";
import { packedLayout } from "../../formats/packed/packed.ts";
import type { Tensor } from "../../tensor.ts";
import { seeds, sides } from "../../testing/arbitraries.ts";
import type { OpCases, Sample, SampleInput } from "../../testing/cases.ts";
import { absolute } from "../../testing/magnitude.ts";
import { type PackedVariant, packedSample, packedVariants } from "../../testing/packed.ts";
import { inputOf } from "../../testing/values.ts";
import { products } from "./products.ts";

interface Given {
  /** For each sum its m and n, and the inner sizes of its products. */
  readonly sums: readonly { readonly m: number; readonly n: number; readonly ks: readonly number[] }[];
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly scale?: number;
  readonly seed?: number;
  readonly dtypeB?: DType;
}

function sample(given: Given): Sample {
  const {
    sums,
    transposeA = false,
    transposeB = false,
    bias = false,
    residual = false,
    scale = 1,
    seed = 1,
  } = given;
  const inputs: SampleInput[] = [];
  const another = (shape: readonly number[], dtype?: DType) =>
    inputs.push(inputOf(shape, seed, { lane: inputs.length, dtype })) - 1;
  const places = sums.map(({ m, n, ks }) => ({
    terms: ks.map((k) => [
      another(transposeA ? [k, m] : [m, k]),
      another(transposeB ? [n, k] : [k, n], given.dtypeB),
    ]),
    bias: bias ? another([n]) : undefined,
    residual: residual ? another([m, n]) : undefined,
  }));
  const call = (tensors: readonly Tensor[], by: number) =>
    products(
      places.map(({ terms, bias: shift, residual: more }) => ({
        terms: terms.map(([a, b]) => [tensors[a], tensors[b]] as const),
        scale: by,
        bias: shift === undefined ? undefined : tensors[shift],
        residual: more === undefined ? undefined : tensors[more],
      })),
      { transposeA, transposeB },
    );
  const one = sums.length === 1;
  return {
    inputs,
    call: (...tensors) => (one ? call(tensors, scale)[0] : call(tensors, scale)),
    ...(one ? { magnitude: (...tensors: Tensor[]) => call(tensors.map(absolute), Math.abs(scale))[0] } : {}),
    why: `${JSON.stringify(given)}`,
  };
}

/** A low-rank update of a packed weight, as in QLoRA (`transposeB`), and as in its gradient. */
function packedUpdate(
  variant: PackedVariant,
  [rows, columns]: readonly [number, number],
  transposeB: boolean,
): Sample {
  const { layout, inputs, reach } = packedSample(variant, [rows, columns], 3);
  const [k, n] = transposeB ? [columns, rows] : [rows, columns];
  const shapes = [[3, k], [3, 2], transposeB ? [n, 2] : [2, n], [3, n]];
  return {
    inputs: [...shapes.map((shape, lane) => inputOf(shape, 1, { lane })), ...inputs],
    call: (x, u, b, residual, ...parts) =>
      products(
        [
          {
            terms: [
              [x, { layout, parts }],
              [u, b],
            ],
            residual,
          },
        ],
        { transposeB },
      )[0],
    magnitude: (...tensors) => {
      const [x, u, b, residual] = tensors.slice(0, 4).map(absolute);
      const weight = fromArray(x.device, reach, layout.shape, { dtype: "f64" });
      const terms = [
        [x, weight],
        [u, b],
      ] as const;
      return products([{ terms, residual }], { transposeB })[0];
    },
    why: `${variant.format.name}${variant.nested ? " nested" : ""} [${rows}, ${columns}]${transposeB ? "ᵀ" : ""} and a low-rank update`,
  };
}

const variantOf = (name: string, nested = false): PackedVariant => {
  const variant = packedVariants.find(
    (each) => each.format.name === name && (each.nested ?? false) === nested,
  );
  if (variant === undefined) throw new Error(`there must be ${name}`);
  return variant;
};

export const productsCases: OpCases = {
  name: "products",
  torch: "torch.addmm",
  samples: fc
    .record({
      m: sides(9),
      n: sides(20),
      ks: fc.array(sides(9), { minLength: 1, maxLength: 3 }),
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
      bias: fc.boolean(),
      residual: fc.boolean(),
      scale: fc.constantFrom(1, -0.75, 2),
      seed: seeds(),
    })
    .map(({ m, n, ks, ...rest }) => sample({ sums: [{ m, n, ks }], ...rest })),
  edges: [
    sample({ sums: [{ m: 1, n: 1, ks: [1] }] }),
    sample({ sums: [{ m: 5, n: 6, ks: [8, 4] }], transposeB: true, residual: true }),
    sample({
      sums: [{ m: 4, n: 8, ks: [5, 0, 3] }],
      transposeA: true,
      bias: true,
      residual: true,
      scale: 0.5,
    }),
    sample({ sums: [{ m: 3, n: 2, ks: [0] }], bias: true }),
    sample({ sums: [{ m: 0, n: 2, ks: [3] }] }),
    sample({ sums: [{ m: 20, n: 4, ks: [8, 8, 8] }], transposeB: true, scale: 2 }),
    sample({ sums: [{ m: 3, n: 8, ks: [8] }], transposeB: true, dtypeB: "bf16", bias: true }),
    packedUpdate(variantOf("nf4"), [6, 70], true),
    packedUpdate(variantOf("nf4", true), [8, 64], false),
    packedUpdate(variantOf("int4-asymmetric"), [5, 32], true),
    packedUpdate(variantOf("q8_0"), [5, 32], true),
  ],
  errors: [
    {
      call: (device) =>
        products([{ terms: [] }, { terms: [[zeros(device, [1, 1]), zeros(device, [1, 1])]] }]),
      message: "products: sum 0 must have at least one product, got none.",
    },
    {
      call: (device) => products([{ terms: [[zeros(device, [2, 3, 4]), zeros(device, [4, 1])]] }]),
      message: "products: a and b must be matrices, got [2, 3, 4] and [4, 1]. Use reshape on them.",
    },
    {
      call: (device) =>
        products([
          {
            terms: [
              [zeros(device, [2, 3]), zeros(device, [3, 4])],
              [zeros(device, [2, 3]), zeros(device, [3, 5])],
            ],
          },
        ]),
      message: "products: all products of a sum must have one shape, got [2, 4] and [2, 5].",
    },
    {
      call: (device) =>
        products([{ terms: [[zeros(device, [2, 3]), zeros(device, [3, 4])]], bias: zeros(device, [2]) }]),
      message: "products: bias must be [4], got [2].",
    },
    {
      call: (device) =>
        products([{ terms: [[zeros(device, [2, 3]), zeros(device, [3, 4])]], residual: zeros(device, [4]) }]),
      message: "products: residual must be [2, 4], got [4].",
    },
    {
      call: (device) => products([{ terms: [[zeros(device, [2, 3]), zeros(device, [4, 4])]] }]),
      message: "products: inner sizes must agree, got a [2, 3] and b [4, 4] (3 and 4).",
    },
    {
      call: (device) => {
        const layout = packedLayout(variantOf("int8").format, [4, 4]);
        const parts = [zeros(device, [4], { dtype: "u32" }), zeros(device, [4])];
        return products([{ terms: [[zeros(device, [2, 4]), { layout, parts }]] }]);
      },
      message:
        "products: b must have a scale in its blocks, got int8 with one for each row. Use packedMatmul.",
    },
    {
      call: (device) => {
        const layout = packedLayout(variantOf("nf4").format, [4, 4]);
        const parts = [zeros(device, [2], { dtype: "u32" }), zeros(device, [2])];
        return products([{ terms: [[zeros(device, [2, 4]), { layout, parts }]] }]);
      },
      message: "products: absmax of nf4 must have 1 values for [4, 4], got [2].",
    },
  ],
  ulps: 84,
  ulpsWhy:
    "one rounding for each term of the longest sum of these samples, 72, four in its packed weight, the sum of two, scale, bias, residual and store",
};
