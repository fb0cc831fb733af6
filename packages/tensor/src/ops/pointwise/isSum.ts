import type { Run } from "../../compile/trace.ts";
import { sameShape } from "../../shape.ts";

/** Whether a run adds two tensors of one shape and type, without broadcasting. */
export function isSum({ op: { formula }, inputs, outputs }: Run): boolean {
  return (
    formula?.kind === "call" &&
    formula.fn === "add" &&
    formula.args.length === 2 &&
    formula.args.every(({ kind }) => kind === "input") &&
    inputs.length === 2 &&
    inputs.every(({ shape, dtype }) => dtype === outputs[0].dtype && sameShape(shape, outputs[0].shape))
  );
}
