// Linear regression with @graft/tensor alone: the tape gives the gradients, and one line of gradient descent
// uses them. The points are y = 2·x₁ − 3·x₂ + 1 with a little noise, so the answer is known.
//
//   node examples/dist/01-regression.js --steps 100 --device cpu
import {
  add,
  addInto,
  Generator,
  grad,
  matmul,
  mean,
  noGrad,
  normal,
  openCpu,
  scope,
  square,
  sub,
  tensor,
  zeros,
} from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { type ExampleOptions, runAsProgram } from "./command.ts";

export async function main({ steps, device: kind, learningRate, log }: ExampleOptions) {
  const device = kind === "webgpu" ? await openWebGpu() : openCpu();
  log(`Fitting y = 2·x₁ − 3·x₂ + 1 from 64 noisy points on ${device.name}.`);

  const random = new Generator(1);
  const x = normal(device, random.next(), [64, 2]);
  const noise = normal(device, random.next(), [64, 1], { std: 0.1 });
  const y = add(add(matmul(x, tensor(device, [[2], [-3]])), 1), noise);

  const weight = zeros(device, [2, 1], { requiresGrad: true });
  const bias = zeros(device, [1], { requiresGrad: true });
  const losses: number[] = [];
  for (let step = 1; step <= steps; step++) {
    // All that a step makes is freed at the end of its scope; only the loss leaves it.
    const loss = scope(() => {
      const meanSquare = mean(square(sub(add(matmul(x, weight), bias), y)));
      const [dweight, dbias] = grad(meanSquare, [weight, bias]);
      noGrad(() => {
        addInto(weight, dweight, -learningRate);
        addInto(bias, dbias, -learningRate);
      });
      return meanSquare.detach();
    });
    losses.push(await loss.item());
    loss.dispose();
    if (step === 1 || step % 10 === 0 || step === steps)
      log(`step ${step}: mean square error ${losses[step - 1].toFixed(5)}`);
  }

  const [w1, w2] = await weight.toArray();
  const [b] = await bias.toArray();
  log(`found y = ${w1.toFixed(3)}·x₁ + ${w2.toFixed(3)}·x₂ + ${b.toFixed(3)}`);
  device.close();
  return { losses, weight: [w1, w2], bias: b };
}

await runAsProgram(import.meta.url, main, { steps: 100, learningRate: 0.1 });
