import { type Device, fromArray, type Tensor } from "@graft/tensor";
import { apply, type Op } from "@graft/tensor/op";
import { inputOf } from "@graft/tensor/testing";

/** A leaf [n] of f64 on the CPU device, with values that a seed decides. */
export function leaf(device: Device, n: number, seed: number, requiresGrad = true): Tensor {
  const { values } = inputOf([n], seed, { kind: "positive" });
  return fromArray(device, values, [n], { dtype: device.kind === "cpu" ? "f64" : "f32", requiresGrad });
}

/** Values as an ordinary array, for `toEqual`. */
export async function read(tensor: Tensor | undefined): Promise<number[]> {
  if (tensor === undefined) throw new Error("there is no tensor to read");
  return [...(await tensor.toArray())];
}

/** Doubles its input in place, as an op of another package would. */
const doubleOp: Op<null> = {
  name: "doubleInPlace",
  mutates: [0],
  infer: () => [],
  cpu([x]) {
    for (let i = 0; i < x.data.length; i++) x.data[i] *= 2;
  },
  wgsl: ([x]) => [
    {
      key: "",
      over: "element",
      count: x.shape.reduce((a, b) => a * b, 1),
      bindings: [{ name: "x", view: x, access: "update" }],
      main: () => "x_put(i, x_at(i) * 2.0f);",
    },
  ],
  gradient: "none: it changes its input in place",
};

export function doubleInPlace(x: Tensor): void {
  apply(doubleOp, [x], null);
}

/** x + 1 without a gradient. */
const silentOp: Op<null> = {
  name: "silent",
  infer: ([x]) => [x],
  cpu([x], [y]) {
    for (let i = 0; i < x.data.length; i++) y.data[i] = x.data[i] + 1;
  },
  gradient: "none: it is a step function",
};

export function silent(x: Tensor): Tensor {
  return apply(silentOp, [x], null)[0];
}

/** (sum, product) of two tensors of one shape, with a gradient that reads both outputs. */
const pairOp: Op<null> = {
  name: "pair",
  infer: ([a]) => [a, a],
  cpu([a, b], [sum, product]) {
    for (let i = 0; i < a.data.length; i++) {
      sum.data[i] = a.data[i] + b.data[i];
      product.data[i] = a.data[i] * b.data[i];
    }
  },
  gradient({ inputs: [a, b], dys: [dsum, dproduct] }) {
    const by = (other: Tensor): Tensor | undefined => {
      const part = dproduct?.mul(other);
      return dsum === undefined ? part : part === undefined ? dsum : part.add(dsum);
    };
    return [by(b), by(a)];
  },
};

export function pair(a: Tensor, b: Tensor): [Tensor, Tensor] {
  const [sum, product] = apply(pairOp, [a, b], null);
  return [sum, product];
}

/** c·x for a constant tensor c: its gradient is dy where c is 1, so that a rule may hand a saved value on. */
const handOnOp: Op<null> = {
  name: "handOn",
  infer: ([x]) => [x],
  cpu([x, c], [y]) {
    for (let i = 0; i < x.data.length; i++) y.data[i] = x.data[i] * c.data[i];
  },
  // Only right for dy = 1, which is what the test gives.
  gradient: ({ inputs: [, c] }) => [c, undefined],
};

export function handOn(x: Tensor, c: Tensor): Tensor {
  return apply(handOnOp, [x, c], null)[0];
}
