import { GradError } from "../errors.ts";
import { type Op, record } from "../ops/op.ts";
import { recordGenerators, replayGenerators, type Snapshot } from "../random/generator.ts";
import { another, scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { enableGrad, isGradEnabled } from "./gradMode.ts";
import { nextNodeId } from "./node.ts";
import { fresh, usedFromOutside } from "./segment.ts";
import { gradients } from "./tape.ts";

interface Segment {
  readonly fn: (...inputs: Tensor[]) => readonly Tensor[];
  readonly inputs: number;
  readonly random: Snapshot;
}

const checkpointOp: Op<Segment> = {
  name: "checkpoint",
  infer: (metas) => metas,
  gradient({ inputs, dys, attrs, needs }) {
    if (isGradEnabled())
      throw new GradError(
        "checkpoint",
        "gradients of gradients do not pass through checkpoint. Call backward without createGraph, or the function without checkpoint.",
      );
    return enableGrad(() => {
      const own = inputs.slice(0, attrs.inputs).map((input, i) => fresh(input, needs[i]));
      const outputs = replayGenerators(attrs.random, () => attrs.fn(...own));
      const seeds = outputs.flatMap((output, i) => {
        const dy = dys[i];
        return dy === undefined || !output.requiresGrad ? [] : [{ tensor: output, gradient: dy }];
      });
      return gradients(seeds, [...own, ...inputs.slice(attrs.inputs)]);
    });
  },
};

/**
 * Runs `fn(...inputs)` without keeping what its backward needs, and runs it again during backward: memory for time.
 * Dropout inside draws the same mask both times. Parameters that `fn` uses get their gradients as usual.
 * @param fn - returns a tensor or several; must give the same result for the same inputs
 */
export function checkpoint<T extends Tensor | readonly Tensor[]>(
  fn: (...inputs: Tensor[]) => T,
  ...inputs: Tensor[]
): T {
  if (!isGradEnabled()) return fn(...inputs);
  const list = (...given: Tensor[]): readonly Tensor[] => {
    const result = fn(...given);
    return "isGraftTensor" in result ? [result as Tensor] : (result as readonly Tensor[]); // T is one or the other
  };
  let single = true;
  const { outputs, parameters, random } = scope(() => {
    const own = inputs.map((input) => fresh(input, input.requiresGrad));
    const start = nextNodeId();
    const { result, before } = recordGenerators(() => {
      const raw = fn(...own);
      single = "isGraftTensor" in raw;
      return single ? [raw as Tensor] : (raw as readonly Tensor[]);
    });
    const leaves = usedFromOutside(result, start, new Set(own.map((input) => input.variable)));
    return {
      outputs: result.map((output) => output.detach()),
      parameters: leaves.map(another),
      random: before,
    };
  });
  const all = [...inputs, ...parameters];
  if (all.some((input) => input.requiresGrad))
    record(checkpointOp, all, outputs, { fn: list, inputs: inputs.length, random });
  for (const parameter of parameters) parameter.dispose();
  return (single ? outputs[0] : outputs) as T; // as `fn` returned it
}
