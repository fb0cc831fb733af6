import {
  crossEntropy,
  dropout,
  enableGrad,
  fromArray,
  grad,
  keyOf,
  layerNorm,
  linear,
  logSoftmax,
  mul,
  openCpu,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  softmax,
  sum,
  sumOfSquares,
  swiglu,
  type Tensor,
} from "@graft/tensor";
import { gradcheck, valuesOf } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";

const device = openCpu({ kernels: "reference" });
const make = (shape: readonly number[], seed: number): Tensor =>
  fromArray(
    device,
    valuesOf(
      "normal",
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
    {
      dtype: "f64",
      requiresGrad: true,
    },
  );
const targets = fromArray(device, [2, -100, 0, 4], [4], { dtype: "i32" });
const mask = fromArray(device, [1, 0, 0, 1, 1, 0, 0, 0, 0], [3, 3], { dtype: "bool" });

/** Functions of float tensors, with the shapes of their inputs. */
const functions: Record<
  string,
  { fn: (...inputs: Tensor[]) => Tensor; shapes: readonly (readonly number[])[] }
> = {
  softmax: { fn: (x) => softmax(x), shapes: [[3, 5]] },
  "softmax of another axis": { fn: (x) => softmax(x, 0), shapes: [[3, 5]] },
  logSoftmax: { fn: (x) => logSoftmax(x), shapes: [[3, 5]] },
  rmsNorm: { fn: (x, weight) => rmsNorm(x, weight, 1e-2), shapes: [[3, 5], [5]] },
  swiglu: {
    fn: swiglu,
    shapes: [
      [3, 5],
      [3, 5],
    ],
  },
  "rmsNorm without weight": { fn: (x) => rmsNorm(x), shapes: [[3, 5]] },
  layerNorm: { fn: (x, weight, bias) => layerNorm(x, weight, bias), shapes: [[3, 5], [5], [5]] },
  "layerNorm without weight": { fn: (x) => layerNorm(x), shapes: [[3, 5]] },
  rope: {
    fn: (x, cos, sin) => rope(x, cos, sin),
    shapes: [
      [2, 3, 4],
      [3, 2],
      [3, 2],
    ],
  },
  linear: { fn: linear, shapes: [[2, 3], [4, 3], [4]] },
  "crossEntropy, mean": { fn: (x) => crossEntropy(x, targets), shapes: [[4, 5]] },
  "crossEntropy, each row": { fn: (x) => crossEntropy(x, targets, { reduction: "none" }), shapes: [[4, 5]] },
  "causal grouped attention": {
    fn: (q, k, v) => scaledDotProductAttention(q, k, v, { causal: true }),
    shapes: [
      [1, 4, 3, 2],
      [1, 2, 4, 2],
      [1, 2, 4, 2],
    ],
  },
  "masked attention with an empty row": {
    fn: (q, k, v) => scaledDotProductAttention(q, k, v, { mask }),
    shapes: [
      [1, 2, 3, 2],
      [1, 2, 3, 2],
      [1, 2, 3, 2],
    ],
  },
  dropout: { fn: (x) => mul(dropout(x, 0.4, keyOf(3)), x), shapes: [[4, 5]] },
  sumOfSquares: { fn: (x) => sumOfSquares(x), shapes: [[4, 5]] },
};

describe.each(Object.entries(functions))("%s", (_, { fn, shapes }) => {
  test("the gradient agrees with central differences", async () => {
    await gradcheck(fn, shapes.map(make));
  });

  test("the gradient of each gradient agrees with central differences", async () => {
    for (const k of shapes.keys()) {
      // One product more than the op itself, so that the gradient depends on every input and on dy.
      const gradient = (...given: Tensor[]): Tensor =>
        enableGrad(() => {
          const inputs = given.map((input) => (input.requiresGrad ? input : leaf(input)));
          const y = fn(...inputs);
          const [dx] = grad(sum(mul(y, y)), [inputs[k]], { createGraph: true });
          return dx;
        });
      await gradcheck(gradient, shapes.map(make));
    }
  });
});

function leaf(input: Tensor): Tensor {
  const own = input.detach();
  own.requiresGrad = true;
  return own;
}

test("a wrong gradient would be found", async () => {
  const wrong = (x: Tensor): Tensor => mul(softmax(x), softmax(x).detach());
  await expect(gradcheck(wrong, [make([2, 3], 1)])).rejects.toThrow("gradcheck: gradient by input 0");
});
