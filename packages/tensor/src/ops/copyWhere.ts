import { noGrad } from "../autograd/gradMode.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";
import {
  checkAlike,
  checkLengths,
  groupsOf,
  type Layout,
  listOf,
  type OneOrMore,
  updatedSize,
  updateKernels,
  updateOp,
} from "./updates.ts";

const ops = new Map<number, Op<null>>();

/** Inputs: `count` targets and sources, and the condition. One op for each count. */
function opFor(count: number): Op<null> {
  const known = ops.get(count);
  if (known !== undefined) return known;
  const layout: Layout = { names: ["target", "source"], count };
  const op: Op<null> = {
    ...updateOp(layout, [0]),
    name: "copyWhere",
    infer(inputs) {
      checkAlike("copyWhere", inputs, layout);
      const condition = inputs[2 * count];
      if (condition.dtype !== "bool")
        throw new DTypeError("copyWhere", `condition must be bool, got ${condition.dtype}.`);
      if (sizeOf(condition.shape) !== 1)
        throw new ShapeError("copyWhere", `condition must be one value, got ${show(condition.shape)}.`);
      return [];
    },
    cpu(inputs) {
      if (inputs[2 * count].data[0] === 0) return;
      const [targets, sources] = groupsOf(inputs, layout);
      targets.forEach(({ data, shape }, k) => {
        data.set(sources[k].data.subarray(0, sizeOf(shape)));
      });
    },
    wgsl(inputs) {
      const [targets, sources] = groupsOf(inputs, layout);
      return updateKernels(
        "copy",
        [
          { name: "to", views: targets, access: "update" },
          { name: "from", views: sources, access: "read" },
        ],
        [{ name: "condition", view: inputs[2 * count], access: "read" }],
        [],
        "if (condition_at(0u)) { to_set(from_here); }",
      );
    },
    gradient: "none: it changes its inputs in place",
    flops: (inputs) => updatedSize(inputs, layout),
  };
  ops.set(count, op);
  return op;
}

/**
 * Copies `source` into `target`, in place, if `condition` holds: a choice that is made on the device, without reading
 * anything back. Takes one tensor of each or lists of them; where neighbours lie side by side one dispatch copies them all.
 *
 * @param target - f32 (or f64)
 * @param source - as many, of the same shapes and types
 * @param condition - bool, one value
 */
export function copyWhere(condition: Tensor, target: OneOrMore, source: OneOrMore): void {
  const lists = { target: listOf(target), source: listOf(source) };
  checkLengths("copyWhere", lists);
  noGrad(() => {
    apply(opFor(lists.target.length), [...lists.target, ...lists.source, condition], null);
  });
}
