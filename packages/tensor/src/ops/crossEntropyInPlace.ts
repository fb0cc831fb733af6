import { exponentials, plainExponentials } from "../device/cpu/wasm/exponentials.ts";
import type { View } from "../device/device.ts";
import { sizeOf } from "../shape.ts";
import { type LossAttrs, targetOf } from "./crossEntropy.ts";
import type { Binding, Kernel } from "./kernel.ts";
import type { Op } from "./op.ts";
import { foldFunctions, lanesFor, rowsOf } from "./rows.ts";

/**
 * Inputs: logits [rows, classes] and targets [rows]. Output: the loss, [rows]. Each row of logits is replaced by its
 * gradient for a loss weight of 1, `softmax(logits) − onehot`, and 0 in ignored rows.
 */
export const crossEntropyInPlaceOp: Op<LossAttrs> = {
  name: "crossEntropyInPlace",
  mutates: [0],
  infer: ([logits]) => [{ shape: logits.shape.slice(0, -1), dtype: logits.dtype }],

  cpu([logits, targets], [loss], attrs, { fast }) {
    const { rows, n } = rowsOf(logits);
    const exponentiate = fast && loss.dtype === "f32" ? exponentials : plainExponentials;
    const exps = new Float64Array(n);
    const x = logits.data;
    for (let row = 0; row < rows; row++) {
      const target = targetOf(targets.data, row, n, attrs);
      const start = row * n;
      if (target < 0) {
        loss.data[row] = 0;
        x.fill(0, start, start + n);
        continue;
      }
      let top = -Infinity;
      for (let k = start; k < start + n; k++) if (x[k] > top) top = x[k];
      let total = 0;
      for (let k = 0; k < n; k++) exps[k] = x[start + k] - top;
      exponentiate(exps, n);
      for (let k = 0; k < n; k++) total += exps[k];
      loss.data[row] = Math.log(total) + (top - x[start + target]);
      for (let k = 0; k < n; k++) x[start + k] = exps[k] / total;
      x[start + target] = exps[target] / total - 1;
    }
  },

  wgsl: ([logits, targets], [loss], { ignoreIndex }) => [kernelOf(logits, targets, loss, ignoreIndex)],

  gradient: "none: it changes its inputs in place",
  flops: ([logits]) => 6 * sizeOf(logits.shape),
};

/**
 * One workgroup a row, which it reads twice and writes once. A lane keeps the largest value that it has met and the sum of
 * exponentials below it, and scales that sum down when it meets a larger one, which soon becomes rare. Each value is
 * read and written by the same lane, so the row needs no barrier of its own.
 */
function kernelOf(logits: View, targets: View, loss: View, ignoreIndex: number): Kernel {
  const { rows, n } = rowsOf(logits);
  const wide = n % 4 === 0 && logits.offset % 4 === 0;
  const x: Binding = { name: "x", view: logits, access: "update", as: wide ? "vec4" : undefined };
  const text = wide ? four : one;
  return {
    key: wide ? "rows4" : "rows",
    over: "group",
    lanes: lanesFor(n),
    count: rows,
    bindings: [
      x,
      { name: "goal", view: targets, access: "read" },
      { name: "loss", view: loss, access: "write" },
    ],
    params: [
      ["n", "u32", n],
      ["loads", "u32", wide ? n / 4 : n],
      ["ignored", "i32", ignoreIndex],
    ],
    declare: () => `var<workgroup> shared_goal: i32;\n${foldFunctions("max", "sum")}`,
    main: () => `let start = group * P.loads;
  if (lane == 0u) { shared_goal = i32(goal_at(group)); }
  let label = workgroupUniformLoad(&shared_goal);
  if (label == P.ignored) {
    for (var k = lane; k < P.loads; k += lanes) { ${text.put("start + k", text.zero)} }
    if (lane == 0u) { loss_put(group, 0.0f); }
    return;
  }
  let index = u32(clamp(label, 0, i32(P.n) - 1));
  var top = -3.4e38f;
  var part = ${text.zero};
  for (var k = lane; k < P.loads; k += lanes) {
    let v = ${text.at("start + k")};
    let high = ${text.largest("v")};
    if (high > top) { part *= exp(top - high); top = high; }
    part += exp(v - top);
  }
  let largest = fold_max(lane, top);
  let total = fold_sum(lane, ${text.total("part")} * exp(top - largest));
  for (var k = lane; k < P.loads; k += lanes) {
    let v = ${text.at("start + k")};
    var share = exp(v - largest) / total;
    if (k == ${text.load("index")}) {
      loss_put(group, log(total) + (largest - ${text.pick("v")}));
      ${text.pick("share")} -= 1.0f;
    }
    ${text.put("start + k", "share")}
  }`,
  };
}

const one = {
  zero: "0.0f",
  at: (k: string) => `x_at(${k})`,
  put: (k: string, v: string) => `x_put(${k}, ${v});`,
  largest: (v: string) => v,
  total: (v: string) => v,
  load: (index: string) => index,
  pick: (v: string) => v,
};

const four: typeof one = {
  zero: "vec4f()",
  at: (k) => `x_at4(${k})`,
  put: (k, v) => `x_put4(${k}, ${v});`,
  largest: (v) => `max(max(${v}.x, ${v}.y), max(${v}.z, ${v}.w))`,
  total: (v) => `(${v}.x + ${v}.y + (${v}.z + ${v}.w))`,
  load: (index) => `${index} / 4u`,
  pick: (v) => `${v}[index % 4u]`,
};
