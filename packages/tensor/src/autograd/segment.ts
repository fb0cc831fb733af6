import type { Tensor } from "../tensor.ts";
import { reachable, type Variable } from "./node.ts";

// For functions that run a piece of a computation as a record of its own.

/** The value without its history, as a leaf of its own. */
export function fresh(input: Tensor, requiresGrad: boolean): Tensor {
  const leaf = input.detach();
  leaf.asNewLeaf(requiresGrad);
  return leaf;
}

/**
 * What a piece whose first record got the number `start` used from outside of it and needs gradients for: leaves, and
 * values that were made before. `own` are the piece's inputs, which do not count.
 */
export function usedFromOutside(
  results: readonly Tensor[],
  start: number,
  own: ReadonlySet<Variable>,
): Tensor[] {
  const isOutside = ({ node, requiresGrad }: Variable): boolean =>
    requiresGrad && (node === undefined || node.id < start);
  const segment = [...reachable(results.map((result) => result.variable))].filter(({ id }) => id >= start);
  const found = [...results, ...segment.flatMap((node) => node.inputs)].filter(
    ({ variable }) => isOutside(variable) && !own.has(variable),
  );
  return [...new Map(found.map((input) => [input.variable, input] as const)).values()];
}
