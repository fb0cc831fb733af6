import fc from "fast-check";
import { zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf, type ValueKind } from "../testing/values.ts";
import { add } from "./add.ts";
import { mul } from "./mul.ts";
import { silu } from "./silu.ts";
import { swiglu } from "./swiglu.ts";

const sample = (shape: Shape, seed = 1, kind: ValueKind = "normal", dtype?: DType): Sample => ({
  inputs: [inputOf(shape, seed, { kind, dtype }), inputOf(shape, seed, { kind, lane: 1, dtype })],
  call: swiglu,
  // As silu's, times the other factor.
  magnitude: (gate, up) => mul(mul(absolute(silu(gate)), add(absolute(gate), 1)), absolute(up)),
  why: `[${shape}] ${kind} ${dtype ?? ""}, seed ${seed}`,
});

export const swigluCases: OpCases = {
  name: "swiglu",
  torch: "torch.nn.functional.silu(gate) * up",
  samples: fc
    .record({ shape: shapes(), kind: fc.constantFrom<ValueKind>("normal", "halves"), seed: seeds() })
    .map(({ shape, kind, seed }) => sample(shape, seed, kind)),
  edges: [
    sample([]),
    sample([0]),
    sample([3, 300]),
    sample([5], 1, "normal", "bf16"),
    { ...sample([4]), inputs: [{ shape: [4], values: [-80, -20, 20, 80] }, inputOf([4], 1)], why: "far out" },
    {
      inputs: [inputOf([6], 1), inputOf([6], 1, { lane: 1, grad: false })],
      call: swiglu,
      why: "a gradient by gate alone",
    },
    {
      inputs: [inputOf([6], 1, { grad: false }), inputOf([6], 1, { lane: 1 })],
      call: swiglu,
      why: "a gradient by up alone",
    },
  ],
  errors: [
    {
      call: (device) => swiglu(zeros(device, [2, 3]), zeros(device, [3])),
      message: "swiglu: up must be [2, 3], the shape of gate, got [3].",
    },
    {
      call: (device) => swiglu(zeros(device, [2]), zeros(device, [2], { dtype: "i32" })),
      message: "swiglu: up must be a float type, got i32. Use cast first.",
    },
  ],
  ulps: 20,
  ulpsWhy: "silu's 18, and a product",
};
