import { fromArray, grad, openScope, type Tensor } from "@graft/tensor";
import { apply, type Op } from "@graft/tensor/op";
import { valuesOf } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { sizeOf } from "../../src/shape.ts";
import { allCases } from "../ops/everyOp.ts";
import { RaceDevice } from "./raceDevice.ts";

test("no kernel of any op has a race inside a workgroup", async () => {
  const device = new RaceDevice({ kernels: "reference" });
  const cases = [...(await allCases()).values()].flat();
  for (const { edges } of cases) {
    for (const { inputs, call } of edges) {
      const owner = openScope();
      try {
        const tensors = inputs.map(({ shape, values, dtype = "f32", grad: wanted = dtype === "f32" }) =>
          fromArray(device, values, shape, { dtype, requiresGrad: wanted }),
        );
        const result = call(...tensors);
        const outputs: readonly Tensor[] = "isGraftTensor" in result ? [result] : result;
        for (const output of outputs.filter(({ requiresGrad }) => requiresGrad)) {
          const gradient = fromArray(device, valuesOf("normal", 1, sizeOf(output.shape)), output.shape);
          grad(
            output,
            tensors.filter(({ requiresGrad }) => requiresGrad),
            { gradient, allowUnused: true, retainGraph: true },
          );
        }
      } catch (error) {
        if (!(error instanceof Error && /no gradient|in place while recording/.test(error.message)))
          throw error;
      } finally {
        owner[Symbol.dispose]();
      }
    }
  }
  expect(device.races).toEqual([]);
  expect(device.refused).toEqual([]);
  const looked = new Set(device.seen.values());
  expect([...device.tooLarge.values()].filter((name) => !looked.has(name))).toEqual([]);
  expect([...device.seen.values()]).toEqual(expect.arrayContaining(["sum", "matmul", "softmax"]));
}, 120_000);

test("a kernel without its barrier is found", () => {
  const device = new RaceDevice();
  const op: Op<null> = {
    name: "shifted",
    infer: ([x]) => [x],
    cpu: ([x], [y]) => y.data.set(x.data),
    wgsl: ([x], [y]) => [
      {
        key: "",
        over: "group",
        count: 1,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: y, access: "write" },
        ],
        declare: () => "var<workgroup> shared_values: array<f32, 64>;",
        main: () => "shared_values[lane] = x_at(lane);\n  y_put(lane, shared_values[(lane + 1u) % 64u]);",
      },
    ],
    gradient: "none: a control",
  };
  apply(op, [fromArray(device, valuesOf("normal", 1, 64), [64])], null);
  expect(device.races).toHaveLength(1);
  expect(device.races[0]).toMatch(/^shifted: Data race on 'shared_values'/);
});
