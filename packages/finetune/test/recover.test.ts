// `graft finetune` on a GPU that is lost in the middle: another is opened, and the adapter is the same.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gpuGlobals } from "@graft/tensor/node";
import { afterEach, expect, test, vi } from "vitest";
import { execute } from "../src/command.ts";
import { SNAPSHOT_EVERY } from "../src/train/trainer.ts";
import { golden, temporaryFolder } from "./graft.ts";

const folder = temporaryFolder();
afterEach(() => vi.restoreAllMocks());

const steps = SNAPSHOT_EVERY + 4;

interface Tuned {
  readonly bytes: Buffer;
  /** Of steps, without their speed. */
  readonly events: readonly object[];
  readonly notices: string;
}

async function finetune(out: string, onStep: (step: number) => void = () => {}): Promise<Tuned> {
  const events: { step: number }[] = [];
  let notices = "";
  const write = (line: string): void => {
    const { event, tokensPerSecond, ...rest } = JSON.parse(line);
    if (event !== "step") return;
    events.push(rest);
    onStep(rest.step);
  };
  const model = golden("lora_training/base");
  const data = golden("lora_training/train.jsonl");
  await execute(
    [
      ...["finetune", "--model", model, "--data", data, "--out", join(folder, out)],
      ...["--steps", String(steps), "--dropout", "0.1", "--device", "webgpu", "--json"],
    ],
    { handleInterrupt: () => new AbortController().signal },
    { stdout: { write }, stderr: { write: (text) => (notices += text) } },
  );
  return { bytes: readFileSync(join(folder, out, "adapter_model.safetensors")), events, notices };
}

/** Destroys the first device that is opened, at its submit number `at`; counts devices and submits. */
async function loseAt(at: number): Promise<{ devices: number; submits: number }> {
  const counts = { devices: 0, submits: 0 };
  const { GPUAdapter: Adapter } = (await gpuGlobals()) as unknown as {
    GPUAdapter: { prototype: GPUAdapter };
  }; // the binding's own class
  const request = Adapter.prototype.requestDevice;
  vi.spyOn(Adapter.prototype, "requestDevice").mockImplementation(async function (this: GPUAdapter, ...args) {
    const gpu = await request.apply(this, args);
    if (counts.devices++ > 0) return gpu;
    const submit = gpu.queue.submit.bind(gpu.queue);
    gpu.queue.submit = (commands) => {
      submit(commands);
      if (counts.submits++ === at) gpu.destroy();
      return undefined;
    };
    return gpu;
  });
  return counts;
}

test("a lost GPU changes neither the adapter nor what is reported", async () => {
  const counts = await loseAt(Number.POSITIVE_INFINITY);
  const submitsAt: number[] = [];
  const whole = await finetune("whole", (step) => {
    submitsAt[step] = counts.submits;
  });
  expect(whole.events).toHaveLength(steps);
  expect(counts.devices).toBe(1);
  // Before the first snapshot, and after it.
  for (const step of [SNAPSHOT_EVERY / 2, SNAPSHOT_EVERY + 2]) {
    vi.restoreAllMocks();
    const lost = await loseAt(submitsAt[step]);
    const again = await finetune(`lost-${step}`);
    expect(lost.devices).toBe(2);
    expect(again.notices).toMatch(
      /^The GPU was lost \(.*destroyed.*\); training goes on from the last snapshot on another\.$/m,
    );
    expect(again.events).toEqual(whole.events);
    expect(again.bytes.equals(whole.bytes)).toBe(true);
  }
}, 120_000);
