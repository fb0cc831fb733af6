import { AdamW } from "@graft/nn";
import { compile, type Device, keep, scope, type Tensor } from "@graft/tensor";
import type { Case, Rivals } from "../harness.ts";
import type { Peer, Program, TrainingProblem } from "../peers.ts";
import type { Task } from "./problems.ts";

/** How far losses may be apart: float32 sums in another order, a few steps into a training. */
const LOSS_TOLERANCE = 1e-3;
/** Steps whose losses are compared before times are taken. */
const COMPARED = 3;

/** A training step of Graft, op by op or compiled. */
export function graftStep(
  device: Device,
  { model, inputs, lossOf }: Task,
  problem: TrainingProblem,
  mode: "eager" | "compiled",
): Program {
  const optimizer = new AdamW(model.namedParameters(), problem.adamW);
  const step = (...given: Tensor[]): Tensor => {
    const value = lossOf(...given);
    value.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return value.detach();
  };
  const call: (...given: Tensor[]) => Tensor = mode === "compiled" ? compile(step) : step;
  let loss: Tensor | undefined;
  return {
    run() {
      loss?.dispose();
      loss = keep(scope(() => call(...inputs)));
    },
    finish: () => finishOf(device),
    result: async () => (loss === undefined ? [] : [await loss.item()]),
  };
}

/** Cases of one step: Graft's own, then the peers that can do it. The losses of the first steps must agree. */
export async function stepCases<P extends TrainingProblem>(
  problem: P,
  flops: number,
  task: (problem: P, device: Device) => Promise<Task>,
  open: (peer: Peer) => Promise<Program> | undefined,
  devices: readonly Device[],
  { peers }: Rivals,
): Promise<Case[]> {
  const cases: (Case & { program: Program })[] = [];
  for (const device of gpuFirst(devices)) {
    for (const mode of ["compiled", "eager"] as const) {
      const program = graftStep(device, await task(problem, device), problem, mode);
      cases.push(caseOf(`Graft, ${mode}, on ${device.kind}`, program, flops, device));
    }
  }
  for (const peer of peers) {
    const program = await open(peer);
    if (program !== undefined) cases.push(caseOf(`${peer.name} ${peer.version}`, program, flops));
  }
  await compareLosses(cases);
  return cases;
}

function caseOf(name: string, program: Program, flops: number, device?: Device): Case & { program: Program } {
  return { name, device, flops, program, run: () => program.run(), finish: () => program.finish() };
}

/** Throws where programs that should compute the same do not. */
export async function compareLosses(
  cases: readonly { readonly name: string; readonly program: Program }[],
): Promise<void> {
  const losses: number[][] = [];
  for (const { program } of cases) {
    const found: number[] = [];
    for (let step = 0; step < COMPARED; step++) {
      await program.run();
      await program.finish();
      found.push(...(await program.result()));
    }
    losses.push(found);
  }
  for (const [i, found] of losses.entries()) {
    const apart = Math.max(...found.map((value, step) => Math.abs(value - losses[0][step])));
    if (!(apart <= LOSS_TOLERANCE))
      throw new Error(
        `losses must agree within ${LOSS_TOLERANCE}, but ${cases[i].name} gave ${found.join(", ")} and ${cases[0].name} ${losses[0].join(", ")}.`,
      );
  }
}

export async function finishOf(device: Device): Promise<void> {
  if ("finish" in device && typeof device.finish === "function") await device.finish();
}

/** Times are compared with the first case's: Graft on the GPU where there is one. */
export function gpuFirst(devices: readonly Device[]): Device[] {
  return [...devices].sort((a, b) => Number(b.kind === "webgpu") - Number(a.kind === "webgpu"));
}
