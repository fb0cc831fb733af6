// A kernel that writes to several values of one buffer binds the part of each.
import { add, compile, fromArray, mul, openScope, type Tensor } from "@graft/tensor";
import { apply, type Kernel, type Op } from "@graft/tensor/op";
import { testDevices } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { partsOf } from "../../src/device/webgpu/parts.ts";

const { gpu, all } = await testDevices();

/** x + 1 and 2x, written by one kernel, which a compiled step lays side by side. */
const pair: Op<null> = {
  name: "pair",
  infer: ([x]) => [x, x],
  cpu: ([x], [y, z]) => {
    x.data.forEach((value, i) => {
      y.data[i] = value + 1;
      z.data[i] = 2 * value;
    });
  },
  wgsl: ([x], [y, z]) => [
    {
      key: "",
      over: "element",
      count: x.shape[0],
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "y", view: y, access: "write" },
        { name: "z", view: z, access: "write" },
      ],
      main: () => "y_put(i, x_at(i) + 1f); z_put(i, 2f * x_at(i));",
    },
  ],
  together: () => [{ outputs: [0, 1] }],
  gradient: "none: a test",
};

const step = (x: Tensor) => {
  const [y, z] = apply(pair, [mul(x, 1)], null);
  return add(mul(y, 100), z);
};

test.each(all)("outputs side by side are right, on $name", async (device) => {
  for (const size of [1, 5, 64, 200]) {
    using _ = openScope();
    const x = fromArray(
      device,
      Array.from({ length: size }, (__, i) => i),
      [size],
    );
    const compiled = compile(step);
    expect([...(await compiled(x).toArray())]).toEqual(
      Array.from({ length: size }, (__, i) => 102 * i + 100),
    );
    compiled.dispose();
  }
});

test("parts do not overlap and are aligned; other bindings are left alone", () => {
  using _ = openScope();
  const { storage } = fromArray(gpu, new Float32Array(300), [300]);
  const other = fromArray(gpu, [1], [1]);
  const bind = (name: string, access: "read" | "write" | "update", offset: number, size: number) => ({
    name,
    access,
    view: { shape: [size], dtype: "f32" as const, storage, offset },
  });
  const kernel: Kernel = {
    key: "",
    over: "element",
    count: 1,
    bindings: [
      bind("a", "write", 64, 5),
      bind("b", "update", 130, 100),
      { name: "c", access: "read", view: other },
    ],
    main: () => "",
  };
  expect(partsOf(kernel)).toEqual([{ offset: 256, size: 20 }, { offset: 512, size: 408 }, undefined]);
  expect(partsOf({ ...kernel, bindings: kernel.bindings.slice(1) })).toBeUndefined();
});
