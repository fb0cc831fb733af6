import {
  exp,
  expand,
  fromArray,
  grad,
  matmul,
  mul,
  noGrad,
  openCpu,
  sin,
  sum,
  type Tensor,
  tanh,
} from "@graft/tensor";
import { binarySamples, gradcheck, randomOf, seeds } from "@graft/tensor/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { leaf, pair, read } from "./support.ts";

const device = openCpu({ kernels: "reference" });

const losses: readonly ((x: Tensor, w: Tensor) => Tensor)[] = [
  (x, w) => sum(mul(x, w)),
  (x, w) => sum(exp(mul(x, mul(w, -0.1)))),
  (x, w) => sum(tanh(x.div(w))),
  (x, w) => matmul(x, w).mul(0.5),
  (x) => sum(sin(mul(x, x))),
];
const loss = fc.constantFrom(...losses);
const size = fc.integer({ min: 1, max: 5 });

const close = (got: readonly number[], want: readonly number[]): void => {
  expect(got).toHaveLength(want.length);
  for (const [i, value] of want.entries())
    expect(Math.abs(got[i] - value), `value ${i}: ${got[i]} and ${value}`).toBeLessThanOrEqual(
      1e-12 * (1 + Math.abs(value)),
    );
};

test("the gradient is linear in the loss", () =>
  fc.assert(
    fc.asyncProperty(
      loss,
      loss,
      size,
      seeds(),
      fc.integer({ min: -3, max: 3 }),
      async (f, g, n, seed, scale) => {
        const [x, w] = [leaf(device, n, seed), leaf(device, n, seed + 1)];
        const [both] = grad(f(x, w).mul(scale).add(g(x, w)), [x]);
        const [df] = grad(f(x, w), [x]);
        const [dg] = grad(g(x, w), [x]);
        close(await read(both), await read(df.mul(scale).add(dg)));
      },
    ),
  ));

test("a tensor that is used twice gets the sum of both gradients", () =>
  fc.assert(
    fc.asyncProperty(loss, loss, size, seeds(), async (f, g, n, seed) => {
      const w = leaf(device, n, seed + 1, false);
      const x = leaf(device, n, seed);
      f(x, w).add(g(x, w)).backward();
      const [one, two] = [leaf(device, n, seed), leaf(device, n, seed)];
      f(one, w).add(g(two, w)).backward();
      close(await read(x.grad), await read(one.grad?.add(two.grad ?? 0)));
    }),
  ));

test("the order of unrelated ops does not matter", () =>
  fc.assert(
    fc.asyncProperty(loss, loss, size, seeds(), async (f, g, n, seed) => {
      const [x, w] = [leaf(device, n, seed), leaf(device, n, seed + 1)];
      const first = f(x, w);
      const second = g(w, x);
      const [dx, dw] = grad(first.add(second), [x, w]);
      const late = g(w, x);
      const early = f(x, w);
      const [ex, ew] = grad(early.add(late), [x, w]);
      close(await read(dx), await read(ex));
      close(await read(dw), await read(ew));
    }),
  ));

test("broadcasting first and then the op is the op itself", () =>
  fc.assert(
    fc.asyncProperty(
      binarySamples((a) => a, { kinds: ["positive"] }),
      async ({ inputs: [a, b] }) => {
        const made = () => [a, b].map(({ shape, values }) => tensorOf(shape, values));
        const [x, y] = made();
        const direct = mul(x, y);
        sum(direct).backward();
        const [p, q] = made();
        const joint = direct.shape;
        sum(mul(expand(p, joint), expand(q, joint))).backward();
        close(await read(p.grad), await read(x.grad));
        close(await read(q.grad), await read(y.grad));
      },
    ),
  ));

test("⟨J·v, u⟩ = ⟨v, Jᵀ·u⟩", () =>
  fc.assert(
    fc.asyncProperty(size, seeds(), async (n, seed) => {
      const random = randomOf(seed);
      const f = (t: Tensor): Tensor => sin(mul(t, t)).add(exp(t.mul(-0.3)));
      const x = leaf(device, n, seed);
      const [u, v] = [0, 1].map(() => Array.from({ length: n }, () => random() - 0.5));
      const [pulled] = grad(f(x), [x], { gradient: tensorOf([n], u, false) });
      const at = await read(x);
      const moved = (h: number) =>
        read(
          noGrad(() =>
            f(
              tensorOf(
                [n],
                at.map((value, i) => value + h * v[i]),
                false,
              ),
            ),
          ),
        );
      const [above, below] = [await moved(1e-6), await moved(-1e-6)];
      const left = above.reduce((all, value, i) => all + ((value - below[i]) / 2e-6) * u[i], 0);
      const right = (await read(pulled)).reduce((all, value, i) => all + value * v[i], 0);
      expect(Math.abs(left - right)).toBeLessThan(1e-8);
    }),
  ));

test("an op of two outputs gets the gradients of both, or of the one that was used", async () => {
  const [a, b] = [leaf(device, 3, 1), leaf(device, 3, 2)];
  await gradcheck(
    (x, y) => {
      const [total, product] = pair(x, y);
      return total.mul(product);
    },
    [a, b],
  );
  await gradcheck((x, y) => pair(x, y)[0], [a, b]);
  await gradcheck((x, y) => pair(x, y)[1].mul(x), [a, b]);
});

test("second derivatives agree with differences of the gradient", () =>
  fc.assert(
    fc.asyncProperty(loss, size, seeds(), async (f, n, seed) => {
      const [x, w] = [leaf(device, n, seed), leaf(device, n, seed + 1)];
      await gradcheck(
        (p, q) => grad(f(p, q), [p], { createGraph: true, allowUnused: true })[0] ?? p.mul(0),
        [x, w],
      );
    }),
    { numRuns: 20 },
  ));

function tensorOf(shape: readonly number[], values: readonly number[], requiresGrad = true): Tensor {
  return fromArray(device, values, shape, { dtype: "f64", requiresGrad });
}
