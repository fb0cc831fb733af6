import { add, type Device, Generator, matmul, products, scope, uniform } from "@graft/tensor";
import { apply, matmulBy, type TileClass } from "@graft/tensor/op";
import type { Case, Suite } from "../harness.ts";

const layouts = { NT: [false, true], NN: [false, false], TN: [true, false] } as const;
type Layout = keyof typeof layouts;

/** m, n, k of SmolLM2's layers, 128 tokens, in the layouts of forward and backward; then of one token. */
const linears = [
  [576, 576],
  [192, 576],
  [1536, 576],
  [576, 1536],
] as const;

const shapes: readonly (readonly [Layout, number, number, number])[] = [
  ...linears.flatMap(([n, k]) => (["NT", "NN", "TN"] as const).map((layout) => [layout, 128, n, k] as const)),
  ["NT", 1, 1536, 576],
];

/** Every class of kernels that the GPU device can run, the plain one first, and then the CPU device; then linear layers with a LoRA. */
export const matmulSuite: Suite = {
  name: "matmul",
  async cases(devices) {
    const single = shapes.flatMap(([layout, m, n, k]) => {
      const product = operands(layout, m, n, k);
      const gpus = devices.filter((device) => device.kind === "webgpu");
      const cpus = devices.filter((device) => device.kind === "cpu");
      return [
        ...gpus.flatMap((device) => tilesOf(device, layout, m).map((tile) => product(device, tile))),
        ...cpus.map((device) => product(device)),
      ];
    });
    return [...single, ...devices.flatMap((device) => linears.flatMap(([n, k]) => lora(device, n, k)))];
  },
};

/** `x · Wᵀ + u · Bᵀ + residual`, rank 8, of 128 tokens: made of single ops, and as one sum of products. */
function lora(device: Device, n: number, k: number): Case[] {
  const generator = new Generator(0);
  const make = (...shape: number[]) => uniform(device, generator.next(), shape);
  const [x, w, u, b, residual] = [make(128, k), make(n, k), make(128, 8), make(n, 8), make(128, n)];
  const layout = { transposeB: true };
  const group = `LoRA 128x${n}x${k} on ${device.kind}`;
  const given = { device, group, flops: 2 * 128 * n * (k + 8) };
  return [
    {
      ...given,
      name: `${group} composed`,
      run: () => scope(() => void add(add(matmul(x, w, layout), matmul(u, b, layout)), residual)),
    },
    {
      ...given,
      name: `${group} fused`,
      run: () =>
        scope(
          () =>
            void products(
              [
                {
                  terms: [
                    [x, w],
                    [u, b],
                  ],
                  residual,
                },
              ],
              layout,
            ),
        ),
    },
  ];
}

function tilesOf(device: Device, layout: Layout, m: number): TileClass[] {
  const subgroups = "info" in device && (device.info as { subgroupSize: number }).subgroupSize > 0; // GpuInfo
  return [
    "plain",
    ...(subgroups ? (["broadcast"] as const) : []),
    ...(m <= 8 && layout === "NT" ? (["split"] as const) : (["workgroup"] as const)),
  ];
}

function operands(layout: Layout, m: number, n: number, k: number) {
  const [transposeA, transposeB] = layouts[layout];
  const group = `${layout} ${m}x${n}x${k}`;
  return (device: Device, tile?: TileClass): Case => {
    const generator = new Generator(0);
    const a = uniform(device, generator.next(), transposeA ? [k, m] : [m, k]);
    const b = uniform(device, generator.next(), transposeB ? [n, k] : [k, n]);
    const attrs = { transposeA, transposeB };
    const run = () => void (tile ? apply(matmulBy(tile), [a, b], attrs) : matmul(a, b, attrs));
    return {
      name: `${group} ${tile ?? `on ${device.kind}`}`,
      device,
      group,
      flops: 2 * m * n * k,
      run: () => scope(run),
    };
  };
}
