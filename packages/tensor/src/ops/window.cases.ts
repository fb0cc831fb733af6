import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { inputOf } from "../testing/values.ts";
import { clone } from "./window.ts";

const copied = (shape: Shape, dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf(shape, seed, { dtype })],
  call: (x) => clone(x),
  why: `[${shape}] ${dtype ?? ""}`,
});

export const cloneCases: OpCases = {
  name: "clone",
  torch: "torch.clone",
  samples: fc.tuple(shapes(), seeds()).map(([shape, seed]) => copied(shape, undefined, seed)),
  edges: [copied([]), copied([0, 2]), copied([131]), copied([5], "f16"), copied([3, 3], "bf16")],
  errors: [
    {
      call: (device) => {
        const x = zeros(device, [2]);
        x.dispose();
        return clone(x);
      },
      message: "clone: a tensor [2] was disposed and cannot be used. Return it from its scope, or keep() it.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
