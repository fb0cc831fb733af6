import { compile, DeviceLostError, fromArray, matmul, ones, openScope, type Tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { expect, test } from "vitest";

test("a compiled step on a lost device says so, and so does what was pending", async () => {
  const device = await openWebGpu();
  using _ = openScope();
  const w = ones(device, [4, 4]);
  const step = compile((x: Tensor) => matmul(x, w));
  const input = fromArray(device, [1, 2, 3, 4], [1, 4]);
  expect([...(await step(input).toArray())]).toEqual([10, 10, 10, 10]);
  const pending = step(input).toArray();
  device.gpu.destroy();
  await expect(pending).rejects.toThrow(DeviceLostError);
  expect(() => step(input)).toThrow(DeviceLostError);
});
