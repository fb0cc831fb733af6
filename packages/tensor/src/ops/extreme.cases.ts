import { fromArray, zeros } from "../create.ts";
import type { OpCases } from "../testing/cases.ts";
import { type Reduction, reductionEdges, reductionSamples } from "../testing/reductions.ts";
import { max, min } from "./extreme.ts";

function casesOf(name: "max" | "min", fn: typeof max): OpCases {
  const reduction: Reduction = {
    call: fn,
    kinds: ["apart", "halves"],
    smoothKinds: ["apart"],
    least: 1,
  };
  return {
    name,
    torch: `torch.a${name}`,
    samples: reductionSamples(reduction),
    edges: [
      ...reductionEdges(reduction),
      {
        inputs: [{ shape: [2, 4], values: [3, 1, 3, 1, -5, -5, -5, -5] }],
        call: (x) => fn(x, 1),
        smooth: false,
        why: "ties share the gradient",
      },
      {
        inputs: [
          { shape: [70], values: Array.from({ length: 70 }, (_, i) => (i % 2 === 0 ? -3e38 : -2e38)) },
        ],
        call: (x) => fn(x),
        smooth: false,
        why: "large values below 0",
      },
      {
        inputs: [{ shape: [3], dtype: "i32", values: [-2147483648, 5, 2147483647] }],
        call: (x) => fn(x),
        why: "i32",
      },
      {
        inputs: [{ shape: [3], dtype: "u32", values: [4294967295, 0, 7] }],
        call: (x) => fn(x, 0),
        why: "u32",
      },
      {
        inputs: [{ shape: [2, 3], dtype: "f16", values: [1, 2, 3, -1, -2, -3] }],
        call: (x) => fn(x, 1),
        why: "f16",
      },
    ],
    errors: [
      {
        call: (device) => fn(zeros(device, [0])),
        message: `${name}: there must be at least one value, got [0].`,
      },
      {
        call: (device) => fn(zeros(device, [2]), 1),
        message: `${name}: axis must be in [-1, 1), got 1 for [2].`,
      },
      {
        call: (device) => fn(fromArray(device, [1], [1], { dtype: "bool" })),
        message: `${name}: x must be a number type, got bool. Use any or all.`,
      },
    ],
    ulps: 0,
    ulpsWhy: "the result is one of the values",
  };
}

export const maxCases: OpCases = casesOf("max", max);
export const minCases: OpCases = casesOf("min", min);
