import { expect, test } from "vitest";
import { fromArray, grad, matmul, mean, mul, openCpu, scope, sum, tensor, checkpoint, type Device } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";

async function job(device: Device) {
  const a = tensor(device, [[1, 2, 3], [4, 5, 6]], { requiresGrad: true });
  const b = tensor(device, [[1, 2], [3, 4], [5, 6.5]], { requiresGrad: true });
  const c = tensor(device, [0.5, -1], { requiresGrad: true });
  const loss = mean(mul(matmul(a, b).add(c), 3));
  loss.backward();
  const out = [await loss.item(), [...(await a.grad!.toArray())], [...(await b.grad!.toArray())], [...(await c.grad!.toArray())]];
  const l2 = sum(checkpoint((x) => mul(mul(x, x), c), tensor(device, [[1, 2], [3, 4]])));
  l2.backward();
  out.push([...(await c.grad!.toArray())]);
  return out;
}
test("smoke", async () => {
  const cpu = await job(openCpu());
  console.log(JSON.stringify(cpu));
  const gpu = await openWebGpu();
  console.log(gpu.name);
  const g = await job(gpu);
  expect(g).toEqual(cpu);
  console.log(gpu.memory());
});
