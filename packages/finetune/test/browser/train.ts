// What Node and a page do alike: three steps of LoRA on fixed tokens. In a page the server takes the types out.
import { injectLora } from "@graft/lora";
import { AdamW, type CausalLM } from "@graft/nn";
import { crossEntropy, Generator, scope, tensor } from "@graft/tensor";

export interface Training {
  /** Draws the adapter's factors. */
  readonly seed: number;
  readonly learningRate: number;
}

/** Two rows of fifteen tokens, all below 96, which is all that the small golden model knows. */
const ids = [0, 1].map((row) => Array.from({ length: 16 }, (_, i) => (i * i * 7 + row * 31 + 5) % 96));

/** The loss before each of three steps, and after them. */
export async function trainThreeSteps(model: CausalLM, { seed, learningRate }: Training): Promise<number[]> {
  const { device } = model;
  const inputs = tensor(
    device,
    ids.map((row) => row.slice(0, -1)),
    { dtype: "i32" },
  );
  const targets = tensor(
    device,
    ids.map((row) => row.slice(1)),
    { dtype: "i32" },
  );
  injectLora(model, { rank: 4, alpha: 8, targetModules: "all-linear" }, { generator: new Generator(seed) });
  const optimizer = new AdamW(model.namedParameters(), { learningRate });
  const losses: number[] = [];
  for (let step = 0; step < 4; step++) {
    using loss = scope(() => {
      const mean = crossEntropy(model.forward(inputs), targets);
      mean.backward();
      return mean.detach();
    });
    losses.push(await loss.item());
    if (step < 3) optimizer.step();
    optimizer.zeroGrad();
  }
  return losses;
}
