import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes, sides } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { withDim } from "./axis.ts";
import { concat } from "./concat.ts";

const joined = (shapeList: readonly Shape[], axis: number, dtype?: DType, seed = 1): Sample => ({
  inputs: shapeList.map((shape, lane) => inputOf(shape, seed, { lane, dtype })),
  call: (...tensors) => concat(tensors, axis),
  why: `${shapeList.map((shape) => `[${shape}]`).join(" ")} along ${axis} ${dtype ?? ""}`,
});

export const concatCases: OpCases = {
  name: "concat",
  torch: "torch.cat",
  samples: fc
    .record({
      shape: shapes({ minRank: 1 }),
      at: fc.nat(),
      dims: fc.array(sides(), { minLength: 1, maxLength: 9 }),
      negative: fc.boolean(),
      seed: seeds(),
    })
    .map(({ shape, at, dims, negative, seed }) => {
      const axis = at % shape.length;
      return joined(
        dims.map((dim) => withDim(shape, axis, dim)),
        negative ? axis - shape.length : axis,
        undefined,
        seed,
      );
    }),
  edges: [
    joined([[3]], 0),
    joined([[1], [1]], 0),
    joined([[0], [3], [0]], 0),
    joined(
      [
        [3, 0],
        [3, 0],
      ],
      0,
    ),
    joined([[70], [65]], 0),
    joined(
      [
        [2, 3],
        [2, 1],
        [2, 5],
      ],
      1,
    ),
    joined(
      [
        [2, 3],
        [5, 3],
      ],
      0,
    ),
    joined(
      [
        [2, 3, 4],
        [2, 1, 4],
      ],
      -2,
    ),
    joined(new Array<Shape>(7).fill([2, 1]), 1),
    joined(new Array<Shape>(8).fill([2, 1]), 1),
    joined(new Array<Shape>(17).fill([1, 2]), 0),
    joined(
      [
        [3, 1],
        [3, 3],
        [3, 1],
      ],
      1,
      "f16",
    ),
    joined([[3], [4]], 0, "bf16"),
    {
      inputs: [
        { shape: [2], dtype: "bool", values: [1, 0] },
        { shape: [3], dtype: "bool", values: [1, 1, 0] },
      ],
      call: (a, b) => concat([a, b]),
      why: "bool",
    },
    { inputs: [inputOf([2, 3], 1)], call: (x) => concat([x, x, x], 1), why: "one tensor three times" },
  ],
  errors: [
    { call: () => concat([]), message: "concat: there must be at least one tensor, got none." },
    {
      call: (device) => concat([zeros(device, [2, 3]), zeros(device, [2, 3])], 2),
      message: "concat: axis must be in [-2, 2), got 2 for [2, 3].",
    },
    {
      call: (device) => concat([zeros(device, [2, 3]), zeros(device, [3, 3])], 1),
      message: "concat: shapes must agree except along axis 1, got tensors[0] [2, 3] and tensors[1] [3, 3].",
    },
    {
      call: (device) =>
        concat([zeros(device, [2]), zeros(device, [2]), zeros(device, [2], { dtype: "i32" })]),
      message: "concat: dtypes must agree, got tensors[0] f32 and tensors[2] i32. Use cast on one of them.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
