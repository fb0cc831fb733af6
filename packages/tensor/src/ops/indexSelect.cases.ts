import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import { openCpu } from "../device/cpu/cpuDevice.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { indexInput } from "../testing/indexInput.ts";
import { inputOf } from "../testing/values.ts";
import { indexSelect } from "./indexSelect.ts";

const selected = (shape: Shape, axis: number, count: number, seed = 1): Sample => {
  const n = shape[axis < 0 ? axis + shape.length : axis];
  return {
    inputs: [inputOf(shape, seed), indexInput([n === 0 ? 0 : count], n, seed)],
    call: (x, index) => indexSelect(x, axis, index),
    why: `${count} of [${shape}] along ${axis}, seed ${seed}`,
  };
};

export const indexSelectCases: OpCases = {
  name: "indexSelect",
  torch: "torch.index_select",
  samples: fc
    .record({ shape: shapes({ minRank: 1 }), at: fc.nat(), count: fc.nat({ max: 8 }), seed: seeds() })
    .map(({ shape, at, count, seed }) => selected(shape, at % shape.length, count, seed)),
  edges: [
    selected([1], 0, 1),
    selected([3, 0], 0, 2),
    selected([3, 4], 1, 0),
    selected([2, 3, 70], 1, 5),
    selected([2, 5], -1, 9),
  ],
  errors: [
    {
      call: (device) => indexSelect(zeros(device, [3]), 1, zeros(device, [2], { dtype: "i32" })),
      message: "indexSelect: axis must be in [-1, 1), got 1 for [3].",
    },
    {
      call: (device) => indexSelect(zeros(device, [3]), 0, zeros(device, [2, 1], { dtype: "i32" })),
      message: "indexSelect: index must have one axis, got [2, 1].",
    },
    {
      call: () => {
        const cpu = openCpu();
        return indexSelect(zeros(cpu, [3, 2]), 1, fromArray(cpu, [-1], [1], { dtype: "i32" }));
      },
      message: "indexSelect: index must be in [0, 2), got -1.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
