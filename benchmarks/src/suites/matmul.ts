import { type Device, Generator, matmul, scope, uniform } from "@graft/tensor";
import { apply, matmulBy, type TileClass } from "@graft/tensor/op";
import type { Case, Suite } from "../harness.ts";

const layouts = { NT: [false, true], NN: [false, false], TN: [true, false] } as const;
type Layout = keyof typeof layouts;

/** m, n, k of SmolLM2's layers, 128 tokens, in the layouts of forward and backward; then of one token. */
const products: readonly (readonly [Layout, number, number, number])[] = [
  ...[
    [576, 576],
    [192, 576],
    [1536, 576],
    [576, 1536],
  ].flatMap(([n, k]) => (["NT", "NN", "TN"] as const).map((layout) => [layout, 128, n, k] as const)),
  ["NT", 1, 1536, 576],
];

/** Every class of kernels that the GPU device can run, the plain one first, and then the CPU device. */
export const matmulSuite: Suite = {
  name: "matmul",
  async cases(devices) {
    return products.flatMap(([layout, m, n, k]) => {
      const product = operands(layout, m, n, k);
      const gpus = devices.filter((device) => device.kind === "webgpu");
      const cpus = devices.filter((device) => device.kind === "cpu");
      return [
        ...gpus.flatMap((device) => tilesOf(device, layout, m).map((tile) => product(device, tile))),
        ...cpus.map((device) => product(device)),
      ];
    });
  },
};

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
