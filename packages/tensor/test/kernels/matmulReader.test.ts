import { fromArray, type GpuDevice, scope, type Tensor } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { apply, matmulKernel, type Op, planMatmul, type Stored, type TileClass } from "@graft/tensor/op";
import { assertWithin, HALF_ULP, randomOf, testDevices } from "@graft/tensor/testing";
import { afterAll, expect, test } from "vitest";
import { matmulReference } from "../../src/ops/matmul/reference.ts";
import { validateWgsl } from "../../test-support/wgsl.ts";

const TIMEOUT = 240_000;
const BLOCK = 32;

const { gpu, shaders } = await testDevices();
const bare = await openWebGpu({ features: [], limits: "default" });
afterAll(() => bare.close());

interface PackedAttrs {
  readonly tile: TileClass;
  readonly transposeB: boolean;
  readonly shape: readonly [number, number];
}

/** A toy format: four int8 codes in a word, and one scale for 32 values along a line as it is stored. */
const packedOp: Op<PackedAttrs> = {
  name: "packedMatmul",
  infer: ([x], { shape, transposeB }) => [{ shape: [x.shape[0], shape[transposeB ? 0 : 1]], dtype: "f32" }],
  wgsl([x, codes, scales], [y], { tile, shape, transposeB }, info) {
    const stored: Stored = {
      read: (name, aligned, lanes) => ({
        key: aligned ? "toy4" : "toy1",
        bindings: [
          { name: `${name}_codes`, view: codes, access: "read" },
          { name: `${name}_scales`, view: scales, access: "read" },
        ],
        params: [[`${name}_shrink`, "f32", 0.5]],
        four: aligned,
        // Shows that what `setup` leaves in the lanes can be had where the kernel has subgroups.
        setup:
          lanes > 0
            ? `let ${name}_zero = subgroupBroadcast(0u, ${lanes - 1}u); if (${name}_zero != 0u) { return; }`
            : "",
        declare: () =>
          aligned
            ? `fn ${name}_four(e: u32) -> vec4f {
  let w = bitcast<i32>(${name}_codes_at(e / 4u));
  return vec4f(vec4i(w << 24u, w << 16u, w << 8u, w) >> vec4u(24u)) * ${name}_scales_at(e / ${BLOCK}u) * P.${name}_shrink;
}`
            : `fn ${name}_at(e: u32) -> f32 {
  let w = bitcast<i32>(${name}_codes_at(e / 4u)) << (24u - e % 4u * 8u);
  return f32(w >> 24u) * ${name}_scales_at(e / ${BLOCK}u) * P.${name}_shrink;
}`,
      }),
    };
    const plan = planMatmul(x, { shape, dtype: "f32" }, { transposeA: false, transposeB });
    return [matmulKernel(plan, x, stored, y, info, tile)];
  },
  gradient: "none: a test",
};

async function check(device: GpuDevice, attrs: PackedAttrs, m: number): Promise<void> {
  const { tile, shape, transposeB } = attrs;
  const [rows, columns] = shape;
  const k = transposeB ? columns : rows;
  const n = transposeB ? rows : columns;
  const random = randomOf(7);
  const x = Float32Array.from({ length: m * k }, () => 2 * random() - 1);
  const codes = Int8Array.from({ length: rows * columns }, () => Math.floor(256 * random()) - 128);
  const scales = Float32Array.from({ length: (rows * columns) / BLOCK }, () => 2 ** -Math.ceil(8 * random()));
  const weight = Float32Array.from(codes, (code, e) => code * scales[Math.floor(e / BLOCK)] * 0.5);
  const plan = planMatmul(
    { shape: [m, k], dtype: "f32" },
    { shape, dtype: "f32" },
    { transposeA: false, transposeB },
  );
  const [want, magnitude] = [new Float64Array(m * n), new Float64Array(m * n)];
  matmulReference(plan, x, weight, want);
  matmulReference(plan, x.map(Math.abs), weight.map(Math.abs), magnitude);
  const words = new Uint32Array(codes.buffer);
  const result: Tensor = scope(
    () =>
      apply(
        packedOp,
        [
          fromArray(device, x, [m, k]),
          fromArray(device, words, [words.length], { dtype: "u32" }),
          fromArray(device, scales, [scales.length]),
        ],
        attrs,
      )[0],
  );
  const got = Float32Array.from(await result.toArray());
  result.dispose();
  assertWithin({
    label: `${tile} on ${device.name}, ${JSON.stringify(attrs)}`,
    shape: [m, n],
    got,
    want,
    budget: (i) => (k + 1) * HALF_ULP * magnitude[i],
  });
}

test("a packed format plugs into every class of tiles", { timeout: TIMEOUT }, async () => {
  for (const device of [gpu, bare]) {
    for (const tile of ["plain", "broadcast", "workgroup", "split"] as const) {
      if (tile === "broadcast" && device === bare) continue;
      await check(device, { tile, transposeB: true, shape: [20, 64] }, 3);
      if (tile !== "split") await check(device, { tile, transposeB: false, shape: [20, 64] }, 3);
    }
  }
  const own = [...shaders].filter(([, op]) => op === "packedMatmul");
  // Plain tiles have one code for both layouts; without features params may lie elsewhere, in code of its own.
  expect(own.length).toBeGreaterThanOrEqual(6);
  const remarks = await Promise.all(own.map(([code]) => validateWgsl(gpu.gpu, code)));
  expect(remarks.flat()).toEqual([]);
});
