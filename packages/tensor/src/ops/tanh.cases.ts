import type { OpCases } from "../testing/cases.ts";
import { unaryCases } from "../testing/unaryCases.ts";
import { onesLike } from "./fill.ts";
import { tanh } from "./tanh.ts";

export const tanhCases: OpCases = unaryCases({
  name: "tanh",
  torch: "torch.tanh",
  fn: tanh,
  magnitude: (x) => onesLike(x),
  values: [-1000, -20, -0.001, 0, 0.001, 20, 1000],
  ulps: 16,
  ulpsWhy: "WGSL allows tanh the error of the exponentials that it is made of, so an absolute one near 0",
});
