// The loss over pieces of the positions is the loss over all of them, and so are its gradients.
import { fileURLToPath } from "node:url";
import { openCpu, scope } from "@graft/tensor";
import { expect, test } from "vitest";
import { makeBatch } from "../src/dataset/batching.ts";
import { openModel } from "../src/model/open.ts";
import { lossSum, supervisionOf, tokenLosses } from "../src/train/loss.ts";

const llama = fileURLToPath(new URL("../../../tools/golden/data/models/llama", import.meta.url));
const ids = [5, 17, 3, 44, 9, 21, 60, 2, 33, 8, 12];
const batch = makeBatch([
  { inputIds: ids, labels: ids.map((id, i) => (i < 4 ? -100 : id)) },
  { inputIds: ids.slice(0, 6).reverse(), labels: ids.slice(0, 6).reverse() },
]);

test("only labels that count are supervised, each by the position before it", () => {
  const { positions, targets } = supervisionOf(batch);
  expect([...positions]).toEqual([3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15]);
  expect([...targets]).toEqual([9, 21, 60, 2, 33, 8, 12, 9, 44, 3, 17, 5]);
  expect(batch.targets).toBe(12);
});

test.each([1, 5, 12])(
  "pieces of %i positions give the loss and the gradients of the whole",
  async (positions) => {
    await using opened = await openModel(llama);
    const model = await opened.load(openCpu());
    const logitBytes = positions * 4 * model.config.vocabSize;
    const run = async (bytes?: number) => {
      using loss = scope(() => {
        const sum = lossSum(model, batch, bytes);
        sum.backward();
        return sum.detach();
      });
      const gradients = await Promise.all(
        model.parameters().map(async ({ grad }) => [...((await grad?.toArray()) ?? [])]),
      );
      model.zeroGrad();
      return { loss: await loss.item(), gradients: gradients.flat() };
    };
    const whole = await run();
    const cut = await run(logitBytes);
    // Twelve losses of about 5 are added in another order: a few steps of 2^-24 of their sum.
    expect(Math.abs(cut.loss - whole.loss)).toBeLessThan(60 * 2 ** -22);
    const largest = Math.max(...whole.gradients.map(Math.abs));
    const worst = Math.max(...whole.gradients.map((value, i) => Math.abs(value - cut.gradients[i])));
    expect(worst).toBeLessThan(largest * 2 ** -20);
    expect(largest).toBeGreaterThan(0.1);

    const losses = scope(() => tokenLosses(model, batch));
    const cutLosses = scope(() => tokenLosses(model, batch, logitBytes));
    expect([...(await cutLosses.toArray())]).toEqual(
      [...(await losses.toArray())].map((loss) => expect.closeTo(loss, 5)),
    );
    expect([...(await losses.toArray())].reduce((a, b) => a + b)).toBeCloseTo(whole.loss, 4);
  },
);
