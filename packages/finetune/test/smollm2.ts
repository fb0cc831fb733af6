// SmolLM2-135M against transformers, on one device: the same five prompts on the CPU (always) and on WebGPU (large).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CausalLM } from "@graft/nn";
import { type Device, fromArray, noGrad, scope } from "@graft/tensor";
import { beforeAll, describe, expect, test } from "vitest";
import { generate } from "../src/generate.ts";
import { openModel } from "../src/model/open.ts";
import type { OpenedModel } from "../src/model/opened.ts";
import { createSampler } from "../src/sampling.ts";
import { golden, readTensors } from "./graft.ts";

interface Prompt {
  readonly name: string;
  readonly text: string;
  readonly ids: readonly number[];
  readonly continuation: readonly number[];
  readonly continuationText: string;
}

const { file, prompts }: { file: string; prompts: Prompt[] } = JSON.parse(
  readFileSync(golden("smollm2.json"), "utf8"),
);
const models =
  process.env.GRAFT_MODELS ?? fileURLToPath(new URL("../../../../shared/models", import.meta.url));
const path = join(models, file);

/** The big model, where it is there. */
export const smollm2File: string | undefined = existsSync(path) ? path : undefined;

/** Logits are about 20; float32 sums of 576 products in another order differ by some 1e-4. */
const TOLERANCE = 2e-3;

/** Registers the tests where the model file is there; else one line says that it is not. */
export function smollm2Tests(deviceName: string, open: () => Promise<Device>): void {
  test("the golden holds five prompts with twenty tokens each", () => {
    expect(prompts.map(({ continuation }) => continuation.length)).toEqual([20, 20, 20, 20, 20]);
  });
  if (smollm2File === undefined) {
    console.log(`${file} is not in ${models} (GRAFT_MODELS), so it is not tested on ${deviceName}`);
    return;
  }
  describe(`SmolLM2-135M on ${deviceName}`, { timeout: 1_200_000 }, () => {
    let device: Device;
    let opened: OpenedModel;
    let model: CausalLM;
    let tensors: Awaited<ReturnType<typeof readTensors>>;
    beforeAll(async () => {
      device = await open();
      opened = await openModel(path);
      model = await opened.load(device);
      tensors = await readTensors(golden("smollm2.safetensors"));
      return async () => {
        await opened.close();
        device.close();
      };
    });

    test.each(prompts)("continues as transformers does: $name", async (prompt) => {
      const tokenizer = await opened.tokenizer();
      expect(tokenizer.encode(prompt.text)).toEqual(prompt.ids);
      const { tokens } = await generate(model, prompt.ids, {
        maxNewTokens: prompt.continuation.length,
        sampler: createSampler(),
        eosTokenIds: [],
      });
      expect(tokens).toEqual(prompt.continuation);
      expect(tokenizer.decode(tokens)).toBe(prompt.continuationText);
    });

    test.each(prompts)("has the logits that transformers has: $name", async ({ name, ids }) => {
      const logits = noGrad(() =>
        scope(() => model.forward(fromArray(device, ids, [1, ids.length], { dtype: "i32" }))),
      );
      const values = Float32Array.from(await logits.toArray());
      logits.dispose();
      const columns = tensors.get("columns")?.values ?? [];
      const expected = tensors.get(`${name}.columns`)?.values ?? [];
      let worst = 0;
      for (let row = 0; row < ids.length; row++) {
        for (let i = 0; i < columns.length; i++) {
          const got = values[row * opened.vocabSize + columns[i]];
          worst = Math.max(worst, Math.abs(got - expected[row * columns.length + i]));
        }
      }
      expect(expected.length).toBe(ids.length * columns.length);
      expect(worst).toBeLessThan(TOLERANCE);
    });
  });
}
