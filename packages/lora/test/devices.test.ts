import { AdamW, Linear, Sequential } from "@graft/nn";
import { type Device, fromArray, Generator, mean, openCpu, scope, square } from "@graft/tensor";
import { testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import {
  adapterTensors,
  deleteAdapter,
  injectLora,
  mergeAndUnload,
  mergeLora,
  removeLora,
  saveAdapter,
  unmergeLora,
} from "../src/index.ts";
import { distance } from "./golden.ts";

const { all, reference } = await testDevices();

function model(device: Device, dtype: "f32" | "bf16" = "f32"): Sequential {
  const options = { device, generator: new Generator(3), dtype };
  return new Sequential(new Linear(8, 6, options), new Linear(6, 8, { ...options, bias: false }));
}

function inject(made: Sequential, adapterName = "default") {
  return injectLora(
    made,
    { rank: 2, targetModules: ["0", "1"], initLoraWeights: false },
    { generator: new Generator(4), adapterName },
  );
}

const x = Float32Array.from({ length: 16 }, (_, i) => Math.sin(i));

async function trained(device: Device): Promise<ArrayLike<number>[]> {
  const made = model(device);
  inject(made);
  const optimizer = new AdamW(made.namedParameters(), { learningRate: 0.05 });
  for (let step = 0; step < 3; step++) {
    scope(() => mean(square(made.forward(fromArray(device, x, [2, 8])))).backward());
    optimizer.step();
    optimizer.zeroGrad();
  }
  await mergeLora(made);
  const output = await scope(() => made.forward(fromArray(device, x, [2, 8])).detach()).toArray();
  const factors = await Promise.all([...adapterTensors(made).values()].map((factor) => factor.toArray()));
  optimizer.dispose();
  made.dispose();
  return [output, ...factors];
}

describe.each(all.map((device) => [device.kind, device.name, device] as const))(
  "on %s (%s)",
  (_, __, device) => {
    test("three steps and a merge give what the reference gives", async () => {
      const [ours, theirs] = [await trained(device), await trained(reference)];
      for (const [i, values] of ours.entries()) expect(distance(values, theirs[i])).toBeLessThan(1e-4);
    });

    test("nothing stays behind: injecting, merging, removing, deleting and merging for good give all memory back", async () => {
      const made = model(device);
      const before = device.memory().liveBytes;
      const back = (what: string): void => expect([what, device.memory().liveBytes]).toEqual([what, before]);
      inject(made);
      const injected = device.memory().liveBytes;
      await mergeLora(made);
      unmergeLora(made);
      expect(device.memory().liveBytes).toBe(injected);
      await saveAdapter(made);
      removeLora(made);
      back("removed");
      inject(made, "one");
      inject(made, "two");
      deleteAdapter(made, "one");
      deleteAdapter(made, "two");
      back("deleted");
      inject(made);
      await mergeLora(made);
      removeLora(made);
      back("removed while merged");
      inject(made);
      await mergeAndUnload(made);
      back("merged for good");
      inject(made);
      await mergeLora(made);
      await mergeAndUnload(made);
      back("merged, then for good");
      expect(() => injectLora(made, { targetModules: ["2"] }, { generator: new Generator(1) })).toThrow();
      back("refused");
      inject(made);
      await mergeLora(made);
      made.dispose();
      expect(device.memory().liveBytes).toBeLessThan(before);
    });
  },
);

test("over an f64 base the factors are f64, over a bf16 base f32", async () => {
  const device = openCpu();
  const options = { device, generator: new Generator(3), dtype: "f64" } as const;
  const wide = new Sequential(
    new Linear(8, 6, { ...options, bias: false }),
    new Linear(6, 8, { ...options, bias: false }),
  );
  for (const [made, dtype] of [
    [wide, "f64"],
    [model(device, "bf16"), "f32"],
  ] as const) {
    inject(made);
    for (const factor of adapterTensors(made).values()) expect(factor.dtype).toBe(dtype);
  }
  const files = await saveAdapter(wide);
  expect(new TextDecoder().decode(files.get("adapter_model.safetensors") as Uint8Array)).toContain('"F64"');
});
