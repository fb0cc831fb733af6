import { add, fromArray, mul, sum, type Tensor } from "@graft/tensor";
import { apply, e, type PointwiseSpec, pointwise } from "@graft/tensor/op";
import {
  checkErrors,
  checkForward,
  checkGradient,
  checkNoGradient,
  gradcheck,
  inputOf,
  type OpCases,
  overSamples,
  testDevices,
  unarySamples,
} from "@graft/tensor/testing";
import { expect, test } from "vitest";

// Each check of the loops must find a mistake of its kind: these ops have one each.
const devices = await testDevices();

const casesOf = (call: (x: Tensor) => Tensor, more: Partial<OpCases> = {}): OpCases => ({
  name: "wrong",
  torch: "torch.wrong",
  samples: unarySamples(call),
  edges: [{ inputs: [inputOf([3], 1)], call, why: "an edge" }],
  errors: [],
  ulps: 2,
  ulpsWhy: "a control",
  ...more,
});

const op = (body: PointwiseSpec["body"], derivative?: PointwiseSpec["derivative"]) => {
  const record = pointwise({ name: "wrong", inputs: ["x"], body, derivative });
  return (x: Tensor): Tensor => apply(record, [x], {})[0];
};

test("a right op passes", async () => {
  const cases = casesOf(op(([x]) => e.mul(x, x)));
  await overSamples(cases, (samples) => checkForward(cases, samples, devices));
  await overSamples(cases, (samples) => checkGradient(cases, samples, devices));
});

test("a value that is off by 16 roundings is found", async () => {
  // In f32 only: the float64 oracle does not see a change below 2⁻³⁰.
  const cases = casesOf((x) => (x.dtype === "f64" ? x.mul(2) : x.mul(2 + 16 * 2 ** -23)));
  await expect(overSamples(cases, (samples) => checkForward(cases, samples, devices))).rejects.toThrow(
    /wrong on CPU .*expected .*, got .*, off by .* is allowed/s,
  );
});

test("a derivative that is off by a ten-thousandth is found", async () => {
  const cases = casesOf(
    op(
      ([x]) => e.mul(x, x),
      ([x]) => [e.mul(2.0002, x)],
    ),
  );
  await expect(overSamples(cases, (samples) => checkGradient(cases, samples, devices))).rejects.toThrow(
    /against central differences/,
  );
  const leaf = fromArray(devices.reference, [1, 2], [2], { dtype: "f64", requiresGrad: true });
  await expect(
    gradcheck(
      op(
        ([v]) => e.mul(v, v),
        ([v]) => [e.mul(2.0002, v)],
      ),
      [leaf],
    ),
  ).rejects.toThrow(/^gradcheck: gradient by input 0: at \[0\] of \[2\]/);
});

test("a gradient that only one device gets wrong is found", async () => {
  const cases = casesOf(
    (x) => (x.device.kind === "webgpu" ? add(mul(x.detach(), 1.001), mul(x, 0.001)) : x.mul(1)),
    {
      gradient: undefined,
    },
  );
  await expect(overSamples(cases, (samples) => checkGradient(cases, samples, devices))).rejects.toThrow(
    /gradient of wrong by input 0 on /,
  );
});

test("a failing random sample is shrunk to its smallest shape", async () => {
  const cases = casesOf((x) => (x.dtype !== "f64" && x.size > 1 ? x.mul(3) : x.mul(1)), { edges: [] });
  await expect(overSamples(cases, (samples) => checkForward(cases, samples, devices))).rejects.toThrow(
    /\[2\] /,
  );
});

test("a kernel that forgets the offset of a view is found", async () => {
  const cases = casesOf((x) => (x.offset === 0 ? x.mul(1) : x.mul(2)));
  await expect(overSamples(cases, (samples) => checkForward(cases, samples, devices))).rejects.toThrow(
    /inputs views/,
  );
});

test("a buffer that is left behind is found", async () => {
  const hidden: Tensor[] = [];
  const cases = casesOf((x) => {
    hidden.push(x.mul(2).alias(true));
    return x.mul(1);
  });
  await expect(overSamples(cases, (samples) => checkForward(cases, samples, devices))).rejects.toThrow(
    /1 buffers were left behind/,
  );
  for (const tensor of hidden) tensor.dispose();
});

test("wrong words, a missing error and a pretended gradient are found", async () => {
  const fails = (message: string) => () => {
    throw new Error(message);
  };
  const wrong = casesOf((x) => x, { errors: [{ call: fails("said"), message: "expected" }] });
  await expect(checkErrors(wrong, devices.reference)).rejects.toThrow(/expected\ngot\n {2}said/);
  const silent = casesOf((x) => x, { errors: [{ call: () => undefined, message: "expected" }] });
  await expect(checkErrors(silent, devices.reference)).rejects.toThrow(/"expected", got none/);
  const pretends = casesOf((x) => sum(x), { gradient: "none: no reason" });
  await expect(checkNoGradient(pretends, pretends.edges, devices.reference)).rejects.toThrow(
    /but an output requires a gradient/,
  );
});
