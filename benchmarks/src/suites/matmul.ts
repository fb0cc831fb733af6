import { type Device, Generator, matmul, scope, uniform } from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";

const layouts = { NT: [false, true], NN: [false, false], TN: [true, false] } as const;

/** Products at the shapes of a SmolLM2 layer, 128 tokens, in the three layouts of forward and backward. */
export const matmulSuite: Suite = {
  name: "matmul",
  async cases(devices) {
    return Object.keys(layouts).flatMap((layout) =>
      devices.map((device) => product(device, layout as keyof typeof layouts, 128, 1536, 576)),
    ); // keys of layouts
  },
};

function product(device: Device, layout: keyof typeof layouts, m: number, n: number, k: number): Case {
  const [transposeA, transposeB] = layouts[layout];
  const generator = new Generator(0);
  const a = uniform(device, generator.next(), transposeA ? [k, m] : [m, k]);
  const b = uniform(device, generator.next(), transposeB ? [n, k] : [k, n]);
  return {
    name: `${layout} ${m}x${n}x${k} on ${device.kind}`,
    device,
    flops: 2 * m * n * k,
    run: () => scope(() => void matmul(a, b, { transposeA, transposeB })),
  };
}
