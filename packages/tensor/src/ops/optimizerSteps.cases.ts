import fc from "fast-check";
import { noGrad } from "../autograd/gradMode.ts";
import { zeros } from "../create.ts";
import type { Device } from "../device/device.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { absolute } from "../testing/magnitude.ts";
import { inputOf } from "../testing/values.ts";
import { type AdamWStep, adamWStep } from "./adamWStep.ts";
import { add } from "./add.ts";
import { concat } from "./concat.ts";
import { mul } from "./mul.ts";
import { reshape } from "./reshape.ts";
import { type SgdStep, sgdStep } from "./sgdStep.ts";
import { slice } from "./slice.ts";
import { stack } from "./stack.ts";

// The trajectories of torch.optim are compared in the tests of the optimisers.

/** Copies, since the steps change their tensors and a sample is run several times on views of one storage. */
const copies = (inputs: readonly Tensor[]): Tensor[] => inputs.map((input) => mul(input.detach(), 1));

const adamW = (shape: Shape, options: AdamWStep, seed = 1): Sample => ({
  inputs: [0, 1, 2, 3].map((lane) =>
    inputOf(shape, seed, { kind: lane === 3 ? "positive" : "normal", lane, grad: false }),
  ),
  call(...inputs) {
    const [p, g, m, v] = copies(inputs);
    noGrad(() => adamWStep(p, g, m, v, options));
    return stack([p, m, v], 0);
  },
  // Of all three at once: p, m and v.
  magnitude: (p, g, m, v) => add(add(absolute(p), absolute(m)), add(v, add(absolute(g), mul(g, g)))),
  why: `[${shape}] ${JSON.stringify(options)}, seed ${seed}`,
});

/** Tensors of several shapes at once, their gradients scaled; side by side in one storage, or apart. */
const manyAdamW = (shapesOf: readonly Shape[], side: "together" | "apart", seed = 1): Sample => ({
  inputs: [
    ...[0, 1, 2, 3].flatMap((kind) =>
      shapesOf.map((shape, k) =>
        inputOf(shape, seed, { kind: kind === 3 ? "positive" : "normal", lane: 4 * k + kind, grad: false }),
      ),
    ),
    { shape: [], values: [0.375], grad: false },
  ],
  call(...inputs) {
    const [p, g, m, v] = groupsOf(inputs, shapesOf.length).map(side === "together" ? neighbours : copies);
    noGrad(() => adamWStep(p, g, m, v, usual, inputs[inputs.length - 1]));
    return [p, m, v].map((list) => concat(list.map((x) => reshape(x, [x.size]))));
  },
  magnitude: (...inputs) => {
    const [p, g, m, v] = groupsOf(inputs, shapesOf.length).map((list) =>
      concat(list.map((x) => reshape(absolute(x), [x.size]))),
    );
    return add(add(p, m), add(v, add(g, mul(g, g))));
  },
  why: `${shapesOf.map((shape) => `[${shape}]`).join(" ")} ${side}, scaled`,
});

const groupsOf = (inputs: readonly Tensor[], count: number): Tensor[][] =>
  [0, 1, 2, 3].map((kind) => inputs.slice(kind * count, (kind + 1) * count));

/** Copies that lie one after the other in one storage. */
const neighbours = (inputs: readonly Tensor[]): Tensor[] => {
  const flat = concat(copies(inputs).map((x) => reshape(x, [x.size])));
  let at = 0;
  return inputs.map(({ shape, size }) => {
    at += size;
    return reshape(slice(flat, 0, at - size, at), shape);
  });
};

const usual: AdamWStep = {
  learningRate: 0.1,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0.01,
  step: 1,
};

const fails = (device: Device, shapesOf: readonly Shape[], options: AdamWStep): void => {
  const [p, g, m, v] = shapesOf.map((shape) => zeros(device, shape));
  adamWStep(p, g, m, v, options);
};

export const adamWStepCases: OpCases = {
  name: "adamWStep",
  torch: "torch.optim.AdamW",
  samples: fc
    .record({
      shape: shapes(),
      step: fc.constantFrom(1, 2, 1000),
      weightDecay: fc.constantFrom(0, 0.1),
      eps: fc.constantFrom(1e-8, 0.5),
      seed: seeds(),
    })
    .map(({ shape, seed, ...options }) => adamW(shape, { ...usual, ...options }, seed)),
  edges: [
    adamW([], usual),
    adamW([0], usual),
    adamW([300], { ...usual, learningRate: 0 }),
    manyAdamW([[2, 3], [4], [0], [5]], "together"),
    manyAdamW([[8], [4, 4], []], "together"),
    manyAdamW([[2, 3], [4]], "apart"),
  ],
  errors: [
    {
      call: (device) => fails(device, [[2], [3], [2], [2]], usual),
      message: "adamWStep: gradient must be [2], the shape of parameter, got [3].",
    },
    {
      call: (device) => fails(device, [[2], [2], [2], [2]], { ...usual, step: 0 }),
      message: "adamWStep: step must be a whole number from 1, got 0.",
    },
    {
      call: (device) => {
        const [p, q] = [zeros(device, [2]), zeros(device, [3])];
        adamWStep([p, q], [p, p], [p, q], [p, q], usual);
      },
      message: "adamWStep: gradient 1 of 2 must be [3], the shape of parameter 1 of 2, got [2].",
    },
    {
      call: (device) => {
        const p = zeros(device, [2]);
        adamWStep([p, p], [p, p], p, p, usual);
      },
      message: "adamWStep: there must be one firstMoment for each parameter, got 1 for 2.",
    },
    {
      call: () => adamWStep([], [], [], [], usual),
      message: "adamWStep: there must be at least one parameter, got none.",
    },
    {
      call: (device) => {
        const [p, g, m, v] = [0, 1, 2, 3].map(() => zeros(device, [2]));
        adamWStep(p, g, m, v, usual, zeros(device, [2]));
      },
      message: "adamWStep: gradientScale must be one number, got [2].",
    },
    {
      call: (device) => {
        const [p, g, m, v] = [0, 1, 2, 3].map(() => zeros(device, [2]));
        adamWStep(p, g, m, v, usual, zeros(device, [], { dtype: "bf16" }));
      },
      message: "adamWStep: gradientScale must be f32 as parameter, got bf16. Use cast first.",
    },
    {
      call: (device) => {
        const [g, m, v] = [0, 1, 2].map(() => zeros(device, [2]));
        adamWStep(zeros(device, [2], { dtype: "bf16" }), g, m, v, usual);
      },
      message: "adamWStep: parameter must be f32 to be changed in place, got bf16.",
    },
    {
      call: (device) => {
        const [g, m, v] = [0, 1, 2].map(() => zeros(device, [2]));
        adamWStep(zeros(device, [2], { requiresGrad: true }), g, m, v, usual);
      },
      message:
        "adamWStep: a tensor that requires a gradient cannot be changed in place while recording. Wrap the call in noGrad.",
    },
  ],
  ulps: 24,
  ulpsWhy: "about 12 steps, among them a root and two divisions (2.5 units of 2 by WGSL's rule)",
  gradient: "none: it changes its inputs in place",
};

/** Two tensors side by side, or apart, their gradients scaled. */
const twoSgd = (options: SgdStep, side: "together" | "apart"): Sample => ({
  inputs: [
    ...[0, 1, 2].flatMap((kind) => [
      inputOf([2, 3], 1, { lane: kind, grad: false }),
      inputOf([6], 1, { lane: kind + 3, grad: false }),
    ]),
    { shape: [1], values: [-2.5], grad: false },
  ],
  call(...inputs) {
    const [p, g, v] = groupsOf(inputs, 2).map(side === "together" ? neighbours : copies);
    noGrad(() => sgdStep(p, g, options.momentum === undefined ? undefined : v, options, inputs[6]));
    return concat([...p, ...v].map((x) => reshape(x, [6])));
  },
  magnitude(...inputs) {
    const flat = inputs.slice(0, 6).map((x) => reshape(absolute(x), [6]));
    const each = [0, 1].map((k) => add(flat[k], mul(add(flat[2 + k], flat[4 + k]), 5)));
    return concat([...each, ...each]);
  },
  why: `two, ${side}, ${JSON.stringify(options)}, scaled`,
});

const sgd = (shape: Shape, options: SgdStep, seed = 1): Sample => ({
  inputs: [0, 1, 2].map((lane) => inputOf(shape, seed, { lane, grad: false })),
  call(...inputs) {
    const [p, g, v] = copies(inputs);
    noGrad(() => sgdStep(p, g, options.momentum === undefined ? undefined : v, options));
    return stack([p, v], 0);
  },
  magnitude: (p, g, v) => add(absolute(p), mul(add(absolute(g), absolute(v)), 2)),
  why: `[${shape}] ${JSON.stringify(options)}, seed ${seed}`,
});

export const sgdStepCases: OpCases = {
  name: "sgdStep",
  torch: "torch.optim.SGD",
  samples: fc
    .record({
      shape: shapes(),
      momentum: fc.constantFrom(undefined, 0.9),
      dampening: fc.constantFrom(0, 0.5),
      weightDecay: fc.constantFrom(0, 0.1),
      nesterov: fc.boolean(),
      first: fc.boolean(),
      seed: seeds(),
    })
    .map(({ shape, seed, ...options }) => sgd(shape, { learningRate: 0.1, ...options }, seed)),
  edges: [
    sgd([], { learningRate: 0.1 }),
    sgd([0], { learningRate: 0.1 }),
    sgd([300], { learningRate: 1, momentum: 0.9 }),
    twoSgd({ learningRate: 0.1 }, "together"),
    twoSgd({ learningRate: 0.1, momentum: 0.9, nesterov: true }, "together"),
    twoSgd({ learningRate: 0.1, momentum: 0.9, weightDecay: 0.1 }, "apart"),
  ],
  errors: [
    {
      call: (device) =>
        sgdStep(zeros(device, [2]), zeros(device, [2]), undefined, { learningRate: 1, momentum: 0.9 }),
      message: "sgdStep: velocity must be given where momentum is not 0, got momentum 0.9.",
    },
    {
      call: (device) =>
        sgdStep(zeros(device, [2]), zeros(device, [2]), zeros(device, [1, 2]), { learningRate: 1 }),
      message: "sgdStep: velocity must be [2], the shape of parameter, got [1, 2].",
    },
  ],
  ulps: 12,
  ulpsWhy: "at most six products and four sums, whose terms the magnitude bounds",
  gradient: "none: it changes its inputs in place",
};
