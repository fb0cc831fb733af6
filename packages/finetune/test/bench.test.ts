import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { failure, golden, graft, temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
const model = golden("lora_training/base");
const small = ["--model", model, "--tokens", "8", "--steps", "2"];

describe("bench", () => {
  test.each(["cpu", "webgpu"])("times steps and their kernels on %s", async (device) => {
    const trace = join(folder, `${device}.json`);
    const ended = await graft("bench", ...small, "--device", device, "--trace", trace, "--json");
    expect(ended.code).toBe(0);
    expect(ended.lines).toHaveLength(1);
    const [result] = ended.lines;
    expect(result).toMatchObject({ device: expect.any(String), tokens: 8 });
    expect(result.seconds).toHaveLength(2);
    const kernels = result.kernels as { op: string; dispatches: number; flops: number }[];
    expect(kernels.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(result.dispatches);
    expect(kernels.reduce((sum, { flops }) => sum + flops, 0)).toBe(result.flops);
    expect(kernels.map(({ op }) => op).join()).toMatch(/matmul/);
    const { traceEvents } = JSON.parse(readFileSync(trace, "utf8"));
    if (result.timing !== "whole")
      expect(traceEvents.filter(({ ph }: { ph: string }) => ph === "X")).toHaveLength(
        Number(result.dispatches),
      );
  });

  test("prints a table", async () => {
    const { code, out } = await graft("bench", ...small, "--device", "cpu");
    expect(code).toBe(0);
    expect(out).toMatch(/^CPU: each op by the clock\nbest seen: .+\n\nop +kernel +calls +ms/);
    expect(out).toMatch(/\na step of 1 × 8 tokens, LoRA of rank 8: \S+ s \(median of 2\), \S+ tokens\/s\n$/);
  });

  test("needs a model", async () => {
    expect(await failure(2, "bench")).toBe(
      "graft: bench: --model must be given. For example: graft bench --model SmolLM2-135M-Instruct --tokens 128.",
    );
  });
});
