import {
  type Device,
  fromArray,
  Generator,
  keep,
  matmul,
  openCpu,
  scope,
  type Tensor,
  uniform,
} from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";
import type { Program, Values } from "../peers.ts";
import { finishOf, gpuFirst } from "./training.ts";

/** Square products `[n, n] · [n, n]` of float32, as the pages of other libraries report them. */
export const matmulPeersSuite: Suite = {
  name: "matmulPeers",
  async cases(devices, { peers }) {
    const cases: Case[] = [];
    for (const n of [512, 1024]) {
      const group = `${n}x${n}x${n}`;
      const [a, b] = await operands(n);
      const expected = firstValues(a, b);
      const add = async (name: string, program: Program, device?: Device): Promise<void> => {
        await check(name, program, expected);
        const { run, finish } = program;
        cases.push({ name: `${group} ${name}`, group, device, run, finish, flops: 2 * n ** 3 });
      };
      for (const device of gpuFirst(devices))
        await add(`Graft on ${device.kind}`, product(device, a, b), device);
      for (const peer of peers) {
        const program = await peer.matmul?.(a, b);
        if (program !== undefined) await add(`${peer.name} ${peer.version}`, program);
      }
    }
    return cases;
  },
};

async function operands(n: number): Promise<[Values, Values]> {
  const generator = new Generator(0);
  const draw = async (): Promise<Values> => {
    const drawn = uniform(openCpu(), generator.next(), [n, n], { low: -1 });
    return { shape: [n, n], values: Float32Array.from(await drawn.toArray()) };
  };
  return [await draw(), await draw()];
}

function product(device: Device, a: Values, b: Values): Program {
  const [x, y] = [a, b].map(({ values, shape }) => keep(fromArray(device, values, shape)));
  let result: Tensor | undefined;
  return {
    run() {
      result?.dispose();
      result = keep(scope(() => matmul(x, y)));
    },
    finish: () => finishOf(device),
    result: async () => Array.from((await result?.toArray()) ?? []).slice(0, COMPARED),
  };
}

/** Values of the product's first row that are compared before times are taken. */
const COMPARED = 16;

/** In float64. */
function firstValues(a: Values, b: Values): number[] {
  const n = a.shape[1];
  return Array.from({ length: COMPARED }, (_, column) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a.values[k] * b.values[k * n + column];
    return sum;
  });
}

async function check(name: string, program: Program, expected: readonly number[]): Promise<void> {
  await program.run();
  await program.finish();
  const got = await program.result();
  const apart = Math.max(...expected.map((value, i) => Math.abs(value - got[i])));
  // A thousand products of at most 1 in float32; a row or column too few would be off by tenths.
  if (!(apart <= 1e-3)) throw new Error(`${name} must give the product, but one value is ${apart} off.`);
}
