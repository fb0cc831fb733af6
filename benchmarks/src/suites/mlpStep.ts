import type { Suite } from "../harness.ts";
import { mlpFlops, mlpProblem, mlpTask } from "./problems.ts";
import { stepCases } from "./training.ts";

/** One AdamW step of a multilayer perceptron, against jax-js jitted and tfjs. */
export const mlpStepSuite: Suite = {
  name: "mlpStep",
  async cases(devices, rivals) {
    const problem = await mlpProblem();
    return stepCases(problem, mlpFlops(problem), mlpTask, (peer) => peer.mlpStep?.(problem), devices, rivals);
  },
};
