import type { View } from "../device/device.ts";
import type { Binding, Kernel } from "./kernel.ts";
import { type RowFrame, rowsOf } from "./rows.ts";

// What the kernels of the loss share: one workgroup a row, whose target is `goal`.

/** All of a kernel but its bindings and body. */
export function lossKernel(
  frame: RowFrame,
  logits: View,
  { ignoreIndex }: { readonly ignoreIndex: number },
): Omit<Kernel, "bindings" | "main"> {
  const { rows, n } = rowsOf(logits);
  return {
    key: `${frame.wide ? "rows4" : "rows"}${frame.subgroups ? "s" : ""}`,
    over: "group",
    lanes: frame.lanes,
    subgroups: frame.subgroups,
    count: rows,
    params: [
      ["n", "u32", n],
      ["loads", "u32", frame.loads],
      ["ignored", "i32", ignoreIndex],
    ],
    declare: () => frame.fold("max", "sum"),
  };
}

/** Leaves the row's `start`, its `label` and the class `index` that it names. */
export const targetOfRow = `let start = group * P.loads;
  let label = i32(goal_at(group));
  let index = u32(clamp(label, 0, i32(P.n) - 1));`;

/**
 * Leaves the largest value of the row, `most`, and the `total` of exp(x − most), after one pass over it: a lane keeps the
 * largest value that it has met and the sum of exponentials below it, and scales that sum down when it meets a larger one,
 * which soon becomes rare.
 */
export function sumOfExponentials(frame: RowFrame, x: Binding): string {
  return `var top = -3.4e38f;
  var part = ${frame.type}();
  for (var k = lane; k < P.loads; k += lanes) {
    let v = ${frame.load(x, "start + k")};
    let high = ${frame.wide ? "max(max(v.x, v.y), max(v.z, v.w))" : "v"};
    if (high > top) { part *= exp(top - high); top = high; }
    part += exp(v - top);
  }
  let most = fold_max(lane, top);
  let total = fold_sum(lane, ${frame.total("part")} * exp(top - most));`;
}
