import fc from "fast-check";
import { zeros } from "../create.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { randomOf } from "../testing/values.ts";
import { all, any } from "./any.ts";

function casesOf(name: "any" | "all", fn: typeof any): OpCases {
  /** `rare` of ten values are unlike the others, so that both answers come. */
  const sample = (shape: Shape, axes?: number | number[], keepDim = false, rare = 2, seed = 1): Sample => {
    const random = randomOf(seed);
    const common = name === "any" ? 0 : 1;
    const values = Array.from({ length: sizeOf(shape) }, () => (random() * 10 < rare ? 1 - common : common));
    return {
      inputs: [{ shape, dtype: "bool", values }],
      call: (x) => fn(x, axes, { keepDim }),
      why: `[${shape}] over ${axes ?? "all"}, seed ${seed}`,
    };
  };
  return {
    name,
    torch: `torch.${name}`,
    samples: fc
      .record({
        shape: shapes({ minRank: 1 }),
        at: fc.nat(),
        every: fc.boolean(),
        keepDim: fc.boolean(),
        seed: seeds(),
      })
      .map(({ shape, at, every, keepDim, seed }) =>
        sample(shape, every ? undefined : at % shape.length, keepDim, 2, seed),
      ),
    edges: [
      sample([]),
      sample([0]),
      sample([3, 0], 1),
      sample([131], 0, false, 0),
      sample([131], 0, false, 0.1),
      sample([2, 3, 4], [0, 2]),
    ],
    errors: [
      {
        call: (device) => fn(zeros(device, [2])),
        message: `${name}: x must be bool, got f32. Use ne(x, 0) first.`,
      },
      {
        call: (device) => fn(zeros(device, [2], { dtype: "bool" }), 1),
        message: `${name}: axis must be in [-1, 1), got 1 for [2].`,
      },
    ],
    ulps: 0,
    ulpsWhy: "an answer has no rounding",
    gradient: "none: the outputs are bool",
  };
}

export const anyCases: OpCases = casesOf("any", any);
export const allCases: OpCases = casesOf("all", all);
