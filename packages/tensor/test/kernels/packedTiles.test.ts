// Every packed format through every class of tiles, at shapes that are no multiples of tiles or blocks: "decode, then multiply"
// in float64 under a computed budget.
import { fromArray, type GpuDevice, scope } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { apply, packedMatmulBy, planMatmul, type TileClass } from "@graft/tensor/op";
import { assertWithin, FLOOR, HALF_ULP, inputOf, testDevices } from "@graft/tensor/testing";
import { afterAll, expect, test } from "vitest";
import { packedFormats } from "../../src/formats/packed/index.ts";
import { matmulReference } from "../../src/ops/matmul/reference.ts";
import { extentOf, tilesFor } from "../../src/ops/matmul/tiles.ts";
import { type PackedVariant, packedSample, packedVariants } from "../../src/testing/packed.ts";
import { validateWgsl } from "../../test-support/wgsl.ts";
import { RaceDevice } from "./raceDevice.ts";

const TIMEOUT = 240_000;
const { gpu, shaders } = await testDevices();
const bare = await openWebGpu({ features: [], limits: "default" });
afterAll(() => bare.close());

const classes: readonly TileClass[] = ["plain", "broadcast", "workgroup", "split"];
const nameOf = ({ format, nested }: PackedVariant) => `${format.name}${nested ? " nested" : ""}`;

async function check(
  device: GpuDevice,
  variant: PackedVariant,
  [m, rows, columns]: readonly [number, number, number],
  transpose: boolean,
  spoil = (_: Float32Array): void => {},
): Promise<void> {
  const shape = [rows, Math.ceil(columns / variant.format.columnMultiple) * variant.format.columnMultiple];
  const { layout, inputs, values, reach } = packedSample(variant, shape, 3);
  const k = transpose ? shape[1] : rows;
  const x = inputOf([m, k], 5);
  const meta = (of: readonly number[]) => ({ shape: of, dtype: "f32" as const });
  const plan = planMatmul(meta([m, k]), meta(shape), { transposeA: false, transposeB: transpose });
  const [want, magnitude] = [new Float64Array(m * plan.n), new Float64Array(m * plan.n)];
  const given = Float32Array.from(x.values);
  matmulReference(plan, given, values, want);
  matmulReference(plan, given.map(Math.abs), reach, magnitude);
  const able = tilesFor(extentOf(plan), device.info);
  for (const tile of classes.filter((each) => able.includes(each))) {
    using y = scope(() => {
      const tensors = [x, ...inputs].map((input) =>
        fromArray(device, input.values, input.shape, { dtype: input.dtype }),
      );
      return apply(packedMatmulBy(tile), tensors, { layout, transpose })[0];
    });
    const got = Float32Array.from(await y.toArray());
    spoil(got);
    assertWithin({
      label: `${nameOf(variant)} [${shape}]${transpose ? "ᵀ" : ""}, ${tile} on ${device.name}`,
      shape: [m, plan.n],
      got,
      want,
      // One rounding for each term, and six of decoding: the scale up to three, product, sum, row scale.
      budget: (i) => (k + 6) * HALF_ULP * magnitude[i] + FLOOR,
    });
  }
}

const all = packedVariants.map((variant) => [nameOf(variant), variant] as const);

test.each(all)("%s, forward and backward in every class", { timeout: TIMEOUT }, async (_, variant) => {
  // More than eight rows of x, which take the largest code, in one format: the others differ from it in a few lines.
  const rows = variant.format.name === "nf4" ? 19 : 7;
  for (const transpose of [true, false]) await check(gpu, variant, [rows, 70, 132], transpose);
});

// Kernels with blocks that span rows differ by format in a line or two, and compile for seconds.
test("widths that are no multiple of four, and no subgroups", { timeout: TIMEOUT }, async () => {
  const [nf4, asymmetric] = ["nf4", "int4-asymmetric"].map((name) => {
    const found = packedVariants.find(({ format }) => format.name === name);
    if (found === undefined) throw new Error(`there must be ${name}`);
    return found;
  });
  await check(gpu, nf4, [3, 37, 45], true);
  await check(gpu, asymmetric, [3, 37, 45], false);
  // Few rows of W: the product changes sides.
  await check(gpu, nf4, [40, 1, 64], true);
  await check(gpu, nf4, [40, 5, 64], true);
  await check(bare, nf4, [3, 37, 45], false);
  await check(bare, asymmetric, [9, 37, 44], true);
});

test("one value that is off by a few roundings is noticed", { timeout: TIMEOUT }, async () => {
  const nf4 = packedVariants[0];
  const spoil = (y: Float32Array): void => {
    y[y.length - 1] += 1e-4;
  };
  await expect(check(gpu, nf4, [3, 37, 45], true, spoil)).rejects.toThrow(/nf4 .*off by/);
});

test("codes that are read in another order, or a scale of the next block, are noticed", {
  timeout: TIMEOUT,
}, async () => {
  const nf4 = packedFormats.get("nf4");
  if (nf4 === undefined) throw new Error("there must be nf4");
  const wrong = (from: string, to: string) => ({
    ...nf4,
    wgsl: (name: string, lanes: number) => {
      const { declare, setup } = nf4.wgsl(name, lanes);
      expect(declare).toContain(from);
      return { declare: declare.replaceAll(from, to), setup };
    },
  });
  const swapped = { ...wrong("vec4u(4u, 0u, 12u, 8u)", "vec4u(0u, 4u, 8u, 12u)"), name: "swapped" };
  const shifted = { ...wrong("e >> P.b_shift", "(e + 4u) >> P.b_shift"), name: "shifted" };
  for (const format of [swapped, shifted])
    await expect(check(gpu, { format, blockSize: 32 }, [19, 70, 132], true)).rejects.toThrow(/off by/);
});

test("the compiler has no remark, and no class has a race", { timeout: TIMEOUT }, async () => {
  const own = [...shaders].filter(([, op]) => op === "packedMatmul");
  expect(own.length).toBeGreaterThan(packedVariants.length * 2);
  const remarks = await Promise.all(own.map(([code]) => validateWgsl(gpu.gpu, code)));
  expect(remarks.flat()).toEqual([]);
  const device = new RaceDevice({ kernels: "reference" });
  for (const variant of packedVariants.filter(({ format }) => format.columnMultiple <= 32)) {
    for (const transpose of [true, false]) {
      const columns = Math.max(4, variant.format.columnMultiple);
      const { layout, inputs } = packedSample(variant, [8, columns], 1);
      const x = inputOf([4, transpose ? columns : 8], 1);
      for (const tile of classes) {
        const tensors = [x, ...inputs].map(({ values, shape, dtype }) =>
          fromArray(device, values, shape, { dtype }),
        );
        apply(packedMatmulBy(tile), tensors, { layout, transpose });
      }
    }
  }
  expect(device.races).toEqual([]);
  expect(device.refused).toEqual([]);
  expect([...device.seen.keys()].join()).toMatch(/workgroup.*split|split.*workgroup/);
});
