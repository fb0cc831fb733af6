import type { Run } from "../../compile/trace.ts";
import type { Device, Lowered, Replayer, View } from "../device.ts";
import type { Storage } from "../storage.ts";

/** On the CPU an op is the unit of work. */
export class LoweredRun implements Lowered {
  readonly run: Run;
  readonly storages: readonly Storage[];

  constructor(run: Run) {
    this.run = run;
    this.storages = [...run.inputs, ...run.outputs].map(({ storage }) => storage);
  }

  get name(): string {
    return this.run.op.name;
  }
}

/** Runs ops again on the storages that a plan gave them. */
export function cpuReplayer(
  device: Device,
  list: readonly LoweredRun[],
  real: (storage: Storage) => Storage,
): Replayer {
  const bind = (view: View): View => ({ ...view, storage: real(view.storage) });
  const bound = list.map(({ run: { op, attrs, inputs, outputs } }) => {
    const [ins, outs] = [inputs.map(bind), outputs.map(bind)];
    return () => device.run(op, ins, outs, attrs);
  });
  return {
    replay() {
      for (const run of bound) run();
    },
    dispose() {},
  };
}
