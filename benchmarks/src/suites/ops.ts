import { Generator, mul, noGrad, rmsNorm, scope, silu, softmax, type Tensor, uniform } from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";

/** Ops that are not products, on [128, 1536] values. */
export const opsSuite: Suite = {
  name: "ops",
  async cases(devices) {
    return devices.flatMap((device) => {
      const x = uniform(device, new Generator(0).next(), [128, 1536], { low: -1 });
      const on = (name: string, fn: (x: Tensor) => Tensor): Case => ({
        name: `${name} on ${device.kind}`,
        device,
        run: () => noGrad(() => scope(() => void fn(x))),
      });
      return [
        on("mul", (v) => mul(v, v)),
        on("silu", silu),
        on("softmax", softmax),
        on("rmsNorm", (v) => rmsNorm(v, undefined)),
      ];
    });
  },
};
