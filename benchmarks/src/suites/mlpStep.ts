import type { Suite } from "../harness.ts";
import { mlpFlops, mlpProblem, mlpTask } from "./problems.ts";
import { eagerStep, gpuFirst, stepCases } from "./training.ts";

/** One AdamW step of a multilayer perceptron, against jax-js jitted and tfjs. */
export const mlpStepSuite: Suite = {
  name: "mlpStep",
  async cases(devices, { peers }) {
    const problem = await mlpProblem();
    const own = [];
    for (const device of gpuFirst(devices)) {
      const program = eagerStep(device, await mlpTask(problem, device), problem);
      own.push({ name: `Graft, eager, on ${device.kind}`, device, program });
    }
    return stepCases(own, peers, (peer) => peer.mlpStep?.(problem), mlpFlops(problem));
  },
};
