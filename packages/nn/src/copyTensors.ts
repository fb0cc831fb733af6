import { copyInto, fromArray, noGrad, scope, show, type Tensor } from "@graft/tensor";
import { CheckpointError, listed } from "./errors.ts";

/**
 * Copies values into the tensors of the same names, converted to the type and device there. All problems are told at
 * once: missing, unexpected (both only where `strict`), wrong shape. Nothing is changed unless everything fits.
 * @param options.owner - what the tensors belong to, for messages
 */
export async function copyTensors(
  who: string,
  targets: ReadonlyMap<string, Tensor>,
  sources: ReadonlyMap<string, Tensor>,
  { strict, owner }: { strict: boolean; owner: string },
): Promise<void> {
  const problems: string[] = [];
  for (const [name, target] of targets) {
    const source = sources.get(name);
    if (source === undefined) {
      if (strict) problems.push(`${name}: missing`);
    } else if (show(source.shape) !== show(target.shape))
      problems.push(`${name}: expected ${show(target.shape)}, got ${show(source.shape)}`);
  }
  if (strict)
    for (const name of sources.keys()) if (!targets.has(name)) problems.push(`${name}: not in ${owner}`);
  if (problems.length > 0) throw new CheckpointError(who, listed(problems));
  for (const [name, target] of targets) {
    const source = sources.get(name);
    if (source !== undefined && source !== target) await copyValues(target, source);
  }
}

async function copyValues(target: Tensor, source: Tensor): Promise<void> {
  const { device, dtype } = target;
  const values = source.device === device ? undefined : await source.toArray();
  noGrad(() =>
    scope(() =>
      copyInto(target, values === undefined ? source : fromArray(device, values, source.shape, { dtype })),
    ),
  );
}
