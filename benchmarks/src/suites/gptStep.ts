import type { Suite } from "../harness.ts";
import { gptFlops, gptProblem, gptTask } from "./problems.ts";
import { eagerStep, gpuFirst, stepCases } from "./training.ts";

/** One AdamW step of a small GPT-2, against jax-js jitted. */
export const gptStepSuite: Suite = {
  name: "gptStep",
  async cases(devices, { peers }) {
    const problem = await gptProblem();
    const own = [];
    for (const device of gpuFirst(devices)) {
      const program = eagerStep(device, await gptTask(problem, device), problem);
      own.push({ name: `Graft, eager, on ${device.kind}`, device, program });
    }
    return stepCases(own, peers, (peer) => peer.gptStep?.(problem), gptFlops(problem));
  },
};
