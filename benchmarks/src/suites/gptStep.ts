import type { Suite } from "../harness.ts";
import { gptFlops, gptProblem, gptTask } from "./problems.ts";
import { stepCases } from "./training.ts";

/** One AdamW step of a small GPT-2, against jax-js jitted. */
export const gptStepSuite: Suite = {
  name: "gptStep",
  async cases(devices, rivals) {
    const problem = await gptProblem();
    return stepCases(problem, gptFlops(problem), gptTask, (peer) => peer.gptStep?.(problem), devices, rivals);
  },
};
