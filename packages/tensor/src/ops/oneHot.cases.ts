import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import { openCpu } from "../device/cpu/cpuDevice.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { indexInput } from "../testing/indexInput.ts";
import { oneHot } from "./oneHot.ts";

const marked = (ids: Shape, classes: number, dtype: "i32" | "u32" = "i32", seed = 1): Sample => ({
  inputs: [indexInput(ids, classes, seed, dtype)],
  call: (x) => oneHot(x, classes),
  why: `ids [${ids}] of ${classes} classes, ${dtype}, seed ${seed}`,
});

export const oneHotCases: OpCases = {
  name: "oneHot",
  torch: "torch.nn.functional.one_hot",
  samples: fc
    .tuple(shapes({ maxRank: 3 }), fc.integer({ min: 1, max: 9 }), seeds())
    .map(([ids, classes, seed]) => marked(ids, classes, "i32", seed)),
  edges: [marked([], 3), marked([0], 3), marked([5], 1), marked([2, 3], 70, "u32")],
  errors: [
    {
      call: (device) => oneHot(zeros(device, [2]), 3),
      message: "oneHot: ids must be i32 or u32, got f32. Use cast first.",
    },
    {
      call: (device) => oneHot(zeros(device, [2], { dtype: "i32" }), 0),
      message: "oneHot: classes must be a whole number of at least 1, got 0.",
    },
    {
      call: () => oneHot(fromArray(openCpu(), [3], [1], { dtype: "i32" }), 3),
      message: "oneHot: ids must be in [0, 3), got 3.",
    },
  ],
  ulps: 0,
  ulpsWhy: "0 and 1 are exact",
  gradient: "none: an index does not change smoothly",
};
