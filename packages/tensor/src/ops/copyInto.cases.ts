import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { add } from "./add.ts";
import { addInto, copyInto, fillInto, mulInto } from "./copyInto.ts";
import { slice } from "./slice.ts";
import { clone } from "./window.ts";

const inPlace = {
  ulps: 4,
  ulpsWhy: "a product and a sum",
  gradient: "none: it changes its input",
} as const;

/** A copy of the target that `change` works on, so that the sample's input stays as it is. */
const changed = (target: Tensor, change: (own: Tensor) => void): Tensor => {
  const own = clone(target.detach());
  change(own);
  return own;
};

/** A call with a source, on the whole target. */
const withSource = (
  change: (target: Tensor, source: Tensor) => void,
  shape: Shape,
  dtype?: DType,
  seed = 1,
): Sample => ({
  inputs: [
    inputOf(shape, seed, { dtype, grad: false }),
    inputOf(shape, seed, { lane: 1, dtype, grad: false }),
  ],
  call: (x, source) => changed(x, (own) => change(own, source)),
  magnitude: (x, source) => add(absolute(x), add(absolute(source), absolute(source))),
  why: `[${shape}] ${dtype ?? ""}, seed ${seed}`,
});

/** A call on a view of the target, from value 1 on, in a type of two bytes: words at both ends are shared. */
const inMiddle = (change: (view: Tensor) => void, dtype: DType, from: number, to: number): Sample => ({
  inputs: [{ shape: [9], dtype, values: [1, 2, 3, 4, 5, 6, 7, 8, 9], grad: false }],
  call: (x) => changed(x, (own) => change(slice(own, 0, from, to))),
  why: `values ${from} to ${to} of 9, ${dtype}`,
});

const views = (change: (view: Tensor) => void): Sample[] =>
  (["f16", "bf16", "f32", "i32"] as const).flatMap((dtype) => [
    inMiddle(change, dtype, 1, 4),
    inMiddle(change, dtype, 2, 8),
    inMiddle(change, dtype, 3, 9),
    inMiddle(change, dtype, 0, 1),
  ]);

const filled = (view: Tensor, value: number): Tensor =>
  fromArray(view.device, new Array<number>(view.size).fill(value), view.shape, { dtype: view.dtype });

export const copyIntoCases: OpCases = {
  ...inPlace,
  name: "copyInto",
  torch: "torch.Tensor.copy_",
  samples: fc.tuple(shapes(), seeds()).map(([shape, seed]) => withSource(copyInto, shape, undefined, seed)),
  edges: [
    withSource(copyInto, []),
    withSource(copyInto, [0]),
    withSource(copyInto, [131]),
    withSource(copyInto, [5], "f16"),
    withSource(copyInto, [2, 3], "bf16"),
    ...views((view) => copyInto(view, filled(view, -7))),
    {
      inputs: [
        { shape: [3], dtype: "bf16", values: [1, 2, 3], grad: false },
        { shape: [3], dtype: "f32", values: [1.5, -2, 0.25], grad: false },
      ],
      call: (x, source) => changed(x, (own) => copyInto(own, source)),
      magnitude: (_, source) => absolute(source),
      why: "f32 into bf16",
    },
    {
      inputs: [inputOf([6], 1, { grad: false })],
      call: (x) => changed(x, (own) => copyInto(slice(own, 0, 2, 6), slice(own, 0, 0, 4))),
      why: "from the same storage, overlapping",
    },
  ],
  errors: [
    {
      call: (device) => copyInto(zeros(device, [2]), zeros(device, [1])),
      message: "copyInto: source must have the shape of target, got target [2] and source [1]. Use expand.",
    },
    {
      call: (device) => copyInto(zeros(device, [2], { requiresGrad: true }), zeros(device, [2])),
      message:
        "copyInto: a tensor that requires a gradient cannot be changed in place while recording. Wrap the call in noGrad.",
    },
  ],
};

export const addIntoCases: OpCases = {
  ...inPlace,
  name: "addInto",
  torch: "torch.Tensor.add_",
  samples: fc
    .tuple(shapes(), fc.constantFrom(1, -0.5, 2), seeds())
    .map(([shape, scale, seed]) =>
      withSource((target, source) => addInto(target, source, scale), shape, undefined, seed),
    ),
  edges: [
    withSource(addInto, []),
    withSource(addInto, [0]),
    withSource(addInto, [131]),
    ...views((view) => addInto(view, filled(view, 3), 2)),
    {
      inputs: [inputOf([6], 1, { grad: false })],
      call: (x) => changed(x, (own) => addInto(slice(own, 0, 2, 6), slice(own, 0, 0, 4))),
      magnitude: (x) => add(absolute(x), 4),
      why: "from the same storage, overlapping",
    },
  ],
  errors: [
    {
      call: (device) => addInto(zeros(device, [2]), zeros(device, [2], { dtype: "i32" })),
      message: "addInto: source must have the type of target, got target f32 and source i32. Use cast.",
    },
    {
      call: (device) => addInto(zeros(device, [2]), zeros(device, [1])),
      message: "addInto: source must have the shape of target, got target [2] and source [1]. Use expand.",
    },
  ],
};

export const fillIntoCases: OpCases = {
  ...inPlace,
  name: "fillInto",
  torch: "torch.Tensor.fill_",
  samples: fc.tuple(shapes(), seeds()).map(([shape, seed]) => ({
    inputs: [inputOf(shape, seed, { grad: false })],
    call: (x: Tensor) => changed(x, (own) => fillInto(own, -1.5)),
    why: `[${shape}], seed ${seed}`,
  })),
  edges: [
    ...views((view) => fillInto(view, 12)),
    {
      inputs: [{ shape: [3], dtype: "bool", values: [1, 0, 1] }],
      call: (x) => changed(x, (own) => fillInto(own, 1)),
      why: "bool",
    },
  ],
  errors: [
    {
      call: (device) => fillInto(zeros(device, [2], { requiresGrad: true }), 0),
      message:
        "fillInto: a tensor that requires a gradient cannot be changed in place while recording. Wrap the call in noGrad.",
    },
  ],
};

export const mulIntoCases: OpCases = {
  ...inPlace,
  name: "mulInto",
  torch: "torch.Tensor.mul_",
  samples: fc.tuple(shapes(), seeds()).map(([shape, seed]) => withSource(mulInto, shape, undefined, seed)),
  edges: [
    ...views((view) => mulInto(view, -2)),
    {
      inputs: [inputOf([3, 4], 1, { grad: false }), inputOf([4], 2, { grad: false })],
      call: (x, factor) => changed(x, (own) => mulInto(own, factor)),
      why: "a factor that broadcasts",
    },
  ],
  errors: [
    {
      call: (device) => mulInto(zeros(device, [2]), zeros(device, [3])),
      message: "mul: shapes must broadcast, got a [2] and b [3].",
    },
  ],
};
