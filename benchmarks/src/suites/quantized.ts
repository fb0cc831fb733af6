import { deviceFormOf, quantize } from "@graft/quant";
import type { Device } from "@graft/tensor";
import {
  clone,
  fromArray,
  fromBits,
  Generator,
  matmul,
  packedMatmul,
  scope,
  type Tensor,
  uniform,
  unpackWeight,
} from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";

const schemes = [
  { scheme: "nf4" },
  { scheme: "nf4", doubleQuant: true },
  { scheme: "fp4" },
  { scheme: "int8" },
  { scheme: "int4" },
  { scheme: "int4-asymmetric" },
  { scheme: "q4_0" },
  { scheme: "q8_0" },
] as const;

/** Rows and columns of SmolLM2's layers, and the tokens. */
const weights = [
  [576, 576],
  [1536, 576],
  [576, 1536],
] as const;
const tokens = 128;

/** Forward x·Wᵀ and backward dy·W from packed bits against f32, and both conversions; each group's first case is the f32 path. */
export const quantizedSuite: Suite = {
  name: "quantized",
  large: true,
  async cases(devices) {
    return devices.flatMap((device) => weights.flatMap(([rows, columns]) => casesOf(device, rows, columns)));
  },
};

function casesOf(device: Device, rows: number, columns: number): Case[] {
  const generator = new Generator(0);
  const random = (n: number): Float32Array => {
    let state = 7;
    return Float32Array.from({ length: n }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32 - 0.5;
    });
  };
  const values = random(rows * columns);
  const shape = [rows, columns];
  const x = uniform(device, generator.next(), [tokens, columns]);
  const dy = uniform(device, generator.next(), [tokens, rows]);
  const dense = fromArray(device, values, shape);
  const flops = 2 * tokens * rows * columns;
  const place = `${device.kind} [${shape}]`;
  const made = (what: string, name: string, run: () => Tensor, rate?: number): Case => ({
    name: `${place} ${what} ${name}`,
    device,
    group: `${place} ${what}`,
    flops: rate,
    run: () => scope(() => void run()),
  });
  const cases = [
    made("forward", "f32", () => matmul(x, dense, { transposeB: true }), flops),
    made("backward", "f32", () => matmul(dy, dense), flops),
    made("dequantize", "f32, a copy", () => clone(dense)),
  ];
  for (const options of schemes) {
    const name = options.scheme + ("doubleQuant" in options ? " nested" : "");
    const { layout, parts: host } = deviceFormOf(quantize(values, shape, options));
    const parts = host.map((part) =>
      fromBits(device, part, [part.length], { dtype: part instanceof Float32Array ? "f32" : "u32" }),
    );
    const weight = { layout, parts };
    cases.push(
      made("forward", name, () => packedMatmul(x, weight), flops),
      made("backward", name, () => packedMatmul(dy, weight, { transpose: false }), flops),
      made("dequantize", name, () => unpackWeight(weight)),
    );
    if (device.kind === "cpu")
      cases.push({
        name: `host [${shape}] quantize ${name}`,
        device,
        group: `${place} quantize`,
        run: () => void quantize(values, shape, options),
      });
  }
  return cases;
}
