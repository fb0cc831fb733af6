import type { Tensor } from "../tensor.ts";
import type { OpCases } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { inputOf } from "../testing/values.ts";
import { gelu } from "./gelu.ts";

export const geluCases: OpCases = unaryCases({
  name: "gelu",
  torch: "torch.nn.functional.gelu",
  fn: (x) => gelu(x),
  magnitude: absolute,
  values: [-20, -6, 0, 6, 20, 1000],
  edges: [40, 3].map((size) => ({
    inputs: [inputOf([size], 7)],
    call: (x: Tensor) => gelu(x, { approximate: "tanh" }),
    magnitude: absolute,
    why: "the approximation by tanh",
  })),
  ulps: 32,
  ulpsWhy: "the error function near -1, whose sum with 1 cancels",
});
