import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import { openCpu } from "../device/cpu/cpuDevice.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { indexInput } from "../testing/indexInput.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { gather, scatterAdd } from "./gather.ts";

/** An index no larger than `shape` except along the axis. */
function indexShape(shape: Shape, axis: number, count: number, cut: readonly boolean[]): number[] {
  if (shape[axis] === 0) return shape.map((dim, i) => (i === axis ? 0 : dim));
  return shape.map((dim, i) => (i === axis ? count : cut[i] ? Math.ceil(dim / 2) : dim));
}

const arbitrary = fc.record({
  shape: shapes({ minRank: 1 }),
  at: fc.nat(),
  count: fc.nat({ max: 8 }),
  cut: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
  seed: seeds(),
});

const gathered = (shape: Shape, axis: number, index: Shape, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed), indexInput(index, shape[axis], seed)],
  call: (x, at) => gather(x, axis, at),
  why: `[${shape}] along ${axis} at [${index}], seed ${seed}`,
});

export const gatherCases: OpCases = {
  name: "gather",
  torch: "torch.gather",
  samples: arbitrary.map(({ shape, at, count, cut, seed }) => {
    const axis = at % shape.length;
    return gathered(shape, axis, indexShape(shape, axis, count, cut), seed);
  }),
  edges: [
    gathered([1], 0, [1]),
    gathered([3], 0, [0]),
    gathered([4, 3], 1, [4, 1]),
    gathered([3, 4, 2], 1, [2, 6, 1]),
    gathered([70, 3], 0, [70, 3]),
    {
      inputs: [inputOf([2, 3], 1, { dtype: "bf16" }), indexInput([2, 2], 3, 1, "u32")],
      call: (x, at) => gather(x, -1, at),
      why: "bf16 by u32",
    },
  ],
  errors: [
    {
      call: (device) => gather(zeros(device, [3]), 0, zeros(device, [3])),
      message: "gather: index must be i32 or u32, got f32. Use cast first.",
    },
    {
      call: (device) => gather(zeros(device, [3, 2]), 1, zeros(device, [4, 1], { dtype: "i32" })),
      message:
        "gather: index must have the axes of x and, except along axis 1, no larger sizes, got x [3, 2] and index [4, 1].",
    },
    {
      call: () => {
        const cpu = openCpu();
        return gather(zeros(cpu, [3]), 0, fromArray(cpu, [7], [1], { dtype: "i32" }));
      },
      message: "gather: index must be in [0, 3), got 7.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};

const scattered = (shape: Shape, axis: number, index: Shape, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed), indexInput(index, shape[axis], seed), inputOf(index, seed, { lane: 2 })],
  call: (x, at, src) => scatterAdd(x, axis, at, src),
  magnitude: (x, at, src) => scatterAdd(absolute(x), axis, at, absolute(src)),
  why: `[${index}] into [${shape}] along ${axis}, seed ${seed}`,
});

export const scatterAddCases: OpCases = {
  name: "scatterAdd",
  torch: "torch.scatter_add",
  samples: arbitrary.map(({ shape, at, count, cut, seed }) => {
    const axis = at % shape.length;
    return scattered(shape, axis, indexShape(shape, axis, count, cut), seed);
  }),
  edges: [
    scattered([1], 0, [1]),
    scattered([3], 0, [0]),
    scattered([3], 0, [90]),
    scattered([4, 3], 1, [4, 1]),
    scattered([3, 4, 2], 1, [2, 6, 1]),
    scattered([70, 3], 0, [5, 2]),
  ],
  errors: [
    {
      call: (device) => scatterAdd(zeros(device, [3]), 0, zeros(device, [3]), zeros(device, [3])),
      message: "scatterAdd: index must be i32 or u32, got f32. Use cast first.",
    },
    {
      call: (device) =>
        scatterAdd(zeros(device, [3]), 0, zeros(device, [2], { dtype: "i32" }), zeros(device, [3])),
      message: "scatterAdd: src must have the shape of index, got src [3] and index [2].",
    },
    {
      call: (device) =>
        scatterAdd(
          zeros(device, [3]),
          0,
          zeros(device, [2], { dtype: "i32" }),
          zeros(device, [2], { dtype: "i32" }),
        ),
      message: "scatterAdd: dtypes must agree, got x f32 and src i32. Use cast on one of them.",
    },
  ],
  ulps: 91,
  ulpsWhy: "one rounding for each value added, at most 90, and the store",
};
