import type { View } from "../device/device.ts";
import { type Shape, sizeOf } from "../shape.ts";

/** Tensors `from` to `to` (exclusive) of a list. */
export interface Run {
  readonly from: number;
  readonly to: number;
}

/**
 * Cuts lists of tensors, whose k-th tensors have one size, into as few runs as possible in which every list lies in one
 * piece of one storage, so that a kernel can take each run as one long vector. Tensors without values belong to no run.
 */
export function runsOf(lists: readonly (readonly View[])[]): Run[] {
  const runs: Run[] = [];
  let last = -1;
  lists[0].forEach(({ shape }, k) => {
    if (sizeOf(shape) === 0) return;
    const goesOn = last >= 0 && lists.every((list) => follows(list[k], list[last]));
    if (goesOn) runs[runs.length - 1] = { from: runs[runs.length - 1].from, to: k + 1 };
    else runs.push({ from: k, to: k + 1 });
    last = k;
  });
  return runs;
}

/** A run of a list as one vector. */
export function vectorOf(list: readonly View[], { from, to }: Run): View {
  const size = totalSize(list.slice(from, to));
  const { dtype, storage, offset } = list[from];
  return { shape: [size], dtype, storage, offset };
}

/** Values of all tensors together. */
export function totalSize(list: readonly { readonly shape: Shape }[]): number {
  return list.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

function follows(view: View, before: View): boolean {
  return (
    view.storage === before.storage &&
    view.dtype === before.dtype &&
    view.offset === before.offset + sizeOf(before.shape)
  );
}
