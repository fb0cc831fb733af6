import * as graft from "@graft/tensor";
import { type Device, fromArray, openScope, type Tensor, topK } from "@graft/tensor";
import { assertWithin, testDevices } from "@graft/tensor/testing";
import { describe, expect, test } from "vitest";
import { type Golden, type GoldenCase, goldenIndex, readFixture } from "./golden/fixture.ts";
import { different, later, torchOps } from "./golden/torchOps.ts";

const { ops } = goldenIndex();
const { reference, cpu, gpu } = await testDevices();

/**
 * In f64 we differ from PyTorch by the order of sums only. In f32 an error is a few roundings of the largest value of
 * each result; large logits cost log2(500) more. The measured largest is 9e-7 of it.
 */
const runs: readonly { device: Device; dtype: "f64" | "f32"; relative: number }[] = [
  { device: reference, dtype: "f64", relative: 1e-13 },
  { device: cpu, dtype: "f32", relative: 4e-6 },
  { device: gpu, dtype: "f32", relative: 4e-6 },
];

test("every fixture has a function, or waits for one that is not exported", () => {
  const missing = Object.keys(ops).filter((op) => !(op in torchOps) && !(op in later));
  expect(missing).toEqual([]);
  const arrived = Object.values(later).filter((name) => name in graft);
  expect(arrived, "exported meanwhile: map them in torchOps.ts").toEqual([]);
});

describe.each(Object.keys(ops).filter((op) => op in torchOps))("torch's %s", (op) => {
  test.each(runs)("$device.name in $dtype: values and gradients", async (run) => {
    const get = readFixture(ops[op].file);
    const owner = openScope();
    try {
      await Promise.all(
        ops[op].cases.map((given, i) =>
          `${op}: ${given.note}` in different ? undefined : compare(op, given, `case${i}`, get, run),
        ),
      );
    } finally {
      owner[Symbol.dispose]();
    }
  });
});

test("topK names the values that torch's topk names", async () => {
  const get = readFixture(ops.topk.file);
  for (const [i, { attrs }] of ops.topk.cases.entries()) {
    const x = known(get(`case${i}.in0`), "in0");
    for (const device of [reference, gpu]) {
      const { indices } = topK(fromArray(device, x.values, x.shape), Number(attrs.k), Number(attrs.axis), {
        largest: attrs.largest === true,
      });
      expect([...(await indices.toArray())]).toEqual([...known(get(`case${i}.indices`), "indices").values]);
    }
  }
});

async function compare(
  op: string,
  given: GoldenCase,
  prefix: string,
  get: (name: string) => Golden | undefined,
  { device, dtype, relative }: (typeof runs)[number],
): Promise<void> {
  const made = (name: string, requiresGrad: boolean): Tensor => {
    const golden = known(get(`${prefix}.${name}`), name);
    const float = golden.dtype === "f64";
    return fromArray(device, golden.values, golden.shape, {
      dtype: float ? dtype : golden.dtype,
      requiresGrad: requiresGrad && float,
    });
  };
  const inputs = Array.from({ length: given.inputs }, (_, k) => made(`in${k}`, true));
  const out = torchOps[op](inputs, given.attrs as Record<string, never>);
  out.backward({ gradient: made("dy", false) });
  const close = async (got: Tensor, name: string): Promise<void> => {
    const { shape, values } = known(get(`${prefix}.${name}`), name);
    expect(got.shape).toEqual(shape);
    const largest = Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
    assertWithin({
      label: `${op}, ${prefix} ${JSON.stringify(given.attrs)} ${given.note ?? ""}, ${name}`,
      shape,
      got: await got.toArray(),
      want: values,
      budget: () => relative * largest,
    });
  };
  await close(out, "out");
  await Promise.all(
    inputs.map(async (input, k) => {
      if (!input.requiresGrad) return;
      if (input.grad === undefined) throw new Error(`${op}, ${prefix}: input ${k} got no gradient`);
      await close(input.grad, `grad${k}`);
    }),
  );
}

function known(golden: Golden | undefined, name: string): Golden {
  if (golden === undefined) throw new Error(`the fixture has no ${name}`);
  return golden;
}
