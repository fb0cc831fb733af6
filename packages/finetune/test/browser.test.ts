// A page trains the same adapter as Node, and nothing that a page imports needs Node.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadFromHf } from "@graft/nn";
import { openCheckpoint } from "@graft/nn/checkpoint";
import { folderOpener } from "@graft/nn/node";
import { openCpu } from "@graft/tensor";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPage, type TestPage } from "../../tensor/test-support/browser/page.ts";
import { readJsonFile } from "../src/model/files.ts";
import type { PageLosses, PageTraining } from "./browser/train.page.ts";
import { type Training, trainThreeSteps } from "./browser/train.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const golden = "tools/golden/data/models/llama";
const embedded = "packages/finetune/embedded";
const folders = [golden, embedded].filter((folder) => existsSync(`${root}${folder}/model.safetensors`));
const training: Training = { seed: 3, learningRate: 1e-2 };

describe("in a page", () => {
  let page: TestPage;
  beforeAll(async () => {
    page = await openPage();
  });
  afterAll(() => page.close());

  describe.each(folders)("%s", (folder) => {
    let inNode: readonly number[];
    let inPage: Record<"webgpu" | "cpu", PageLosses>;
    beforeAll(async () => {
      inNode = await trainInNode(folder, training);
      const args: PageTraining = { ...training, folder: `/${folder}` };
      // The answer of the page's own module.
      inPage = (await page.run(
        "packages/finetune/test/browser/train.page.ts",
        args,
        150_000,
      )) as typeof inPage;
    }, 180_000);

    test("three steps lower the loss", () => {
      expect(inNode).toHaveLength(4);
      for (const [i, loss] of inNode.slice(1).entries()) expect(loss).toBeLessThan(inNode[i]);
    });

    test.each(["webgpu", "cpu"] as const)("the page's %s gives Node's losses", (device) => {
      expect(distance(inPage[device].losses, inNode)).toBeLessThan(1e-4);
    });

    test("another seed or learning rate is farther away than that", async () => {
      expect(distance(await trainInNode(folder, { ...training, seed: 4 }), inNode)).toBeGreaterThan(1e-4);
      const faster = { ...training, learningRate: 1.05e-2 };
      expect(distance(await trainInNode(folder, faster), inNode)).toBeGreaterThan(1e-4);
    });
  });
});

describe("bundled for a page", () => {
  /** Without any external: whatever needs Node is an error of the bundler. */
  const bundle = (entry: string) =>
    build({
      stdin: { contents: `export * from ${JSON.stringify(entry)};`, resolveDir: `${root}packages/finetune` },
      bundle: true,
      write: false,
      metafile: true,
      platform: "browser",
      format: "esm",
      conditions: ["graft-source"],
      logLevel: "silent",
    });

  test.each(["@graft/tensor", "@graft/nn", "@graft/nn/checkpoint", "@graft/lora"])(
    "%s needs nothing of Node",
    async (entry) => {
      const { metafile, warnings } = await bundle(entry);
      expect(warnings).toEqual([]);
      expect(
        Object.keys(metafile.inputs).filter((path) => /\/device\/node\/|checkpoint\/node/.test(path)),
      ).toEqual([]);
    },
  );

  test.each(["@graft/tensor/node", "@graft/nn/node"])("%s does, and this shows it", async (entry) => {
    await expect(bundle(entry)).rejects.toThrow(/Could not resolve "node:/);
  });
});

async function trainInNode(folder: string, options: Training): Promise<number[]> {
  const device = openCpu();
  const weights = await openCheckpoint(folderOpener(root + folder));
  const model = await loadFromHf(await readJsonFile(root + folder, "config.json"), weights, { device });
  await weights.close();
  const losses = await trainThreeSteps(model, options);
  device.close();
  return losses;
}

/** The largest difference relative to `expected`. */
function distance(losses: readonly number[], expected: readonly number[]): number {
  return Math.max(...expected.map((loss, i) => Math.abs(losses[i] - loss) / Math.abs(loss)));
}
