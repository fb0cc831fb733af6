// The training workload of kvark/inferena against PyTorch: one row of the ids 0 to 127 with the same labels, all parameters.
import { readFileSync } from "node:fs";
import { type CausalLM, gradNorm } from "@graft/nn";
import {
  type Device,
  fromArray,
  linearCrossEntropy,
  noGrad,
  openScope,
  sqrt,
  sumOfSquares,
} from "@graft/tensor";
import { expect, test } from "vitest";
import { openModel } from "../src/model/open.ts";
import { golden } from "./graft.ts";
import { smollm2File } from "./smollm2.ts";

const expected: {
  length: number;
  loss: number;
  gradientNorm: number;
  gradientNorms: Record<string, number>;
} = JSON.parse(readFileSync(golden("inferena.json"), "utf8"));

/** Relative: float32 sums through 30 layers in another order. Seen on the CPU: 4e-4 for all gradients together, 1.2e-4 for one. */
const TOLERANCE = 1e-3;

/** Registers the test where the model file is there. */
export function inferenaTests(deviceName: string, open: () => Promise<Device>): void {
  test("the golden has the norms of two layers' matrices", () => {
    expect(Object.keys(expected.gradientNorms)).toHaveLength(14);
  });
  if (smollm2File === undefined) return;
  const path = smollm2File;

  test(`loss and gradients of SmolLM2-135M are PyTorch's on ${deviceName}`, {
    timeout: 1_200_000,
  }, async () => {
    const device = await open();
    await using opened = await openModel(path);
    const model = await opened.load(device, { weights: "floats" });
    using _ = openScope();
    const near = (got: number, want: number): void =>
      expect(Math.abs(got - want)).toBeLessThan(TOLERANCE * want);
    const loss = lossOf(model, 1);
    near(await loss.item(), expected.loss);
    // A label that is one further is told apart.
    const other = await noGrad(() => lossOf(model, 2)).item();
    expect(Math.abs(other - expected.loss)).toBeGreaterThan(10 * TOLERANCE * expected.loss);
    loss.backward();
    near(await gradNorm(model.parameters()).item(), expected.gradientNorm);
    const state = model.stateDict();
    for (const [name, norm] of Object.entries(expected.gradientNorms)) {
      const grad = state.get(name)?.grad;
      if (grad === undefined) throw new Error(`${name} has no gradient`);
      near(await sqrt(sumOfSquares([grad])).item(), norm);
    }
    model.dispose();
    device.close();
  });
}

function lossOf(model: CausalLM, ahead: number) {
  const ids = Int32Array.from({ length: expected.length }, (_, i) => i);
  const targets = ids.map((id) => (id + ahead < expected.length ? id + ahead : -100));
  const [x, y] = [ids, targets].map((values) =>
    fromArray(model.device, values, [1, expected.length], { dtype: "i32" }),
  );
  return linearCrossEntropy(model.hidden(x), model.tokenEmbedding.parameters()[0], y);
}
