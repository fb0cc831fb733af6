import { exponentials, plainExponentials } from "../device/cpu/wasm/exponentials.ts";
import type { View } from "../device/device.ts";
import { sizeOf } from "../shape.ts";
import { type LossAttrs, targetOf } from "./crossEntropy.ts";
import { lossKernel, sumOfExponentials, targetOfRow } from "./crossEntropy.wgsl.ts";
import type { GpuInfo, Kernel } from "./kernel.ts";
import type { Op } from "./op.ts";
import { rowFrame, rowsOf } from "./rows.ts";

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

  wgsl: ([logits, targets], [loss], attrs, gpu) => [kernelOf(logits, targets, loss, attrs, gpu)],

  gradient: "none: it changes its inputs in place",
  flops: ([logits]) => 6 * sizeOf(logits.shape),
};

/** One workgroup a row, which it reads twice and writes once: each value by the same lane, so the row needs no barrier. */
function kernelOf(logits: View, targets: View, loss: View, attrs: LossAttrs, gpu: GpuInfo): Kernel {
  const { n } = rowsOf(logits);
  const frame = rowFrame(n, gpu, [logits]);
  const x = frame.bind("x", logits, "update");
  const put = (value: string): string => frame.store(x, "start + k", value);
  const pick = (value: string): string => (frame.wide ? `${value}[index % 4u]` : value);
  return {
    ...lossKernel(frame, logits, attrs),
    bindings: [
      x,
      { name: "goal", view: targets, access: "read" },
      { name: "loss", view: loss, access: "write" },
    ],
    main: () => `${targetOfRow}
  if (label == P.ignored) {
    for (var k = lane; k < P.loads; k += lanes) { ${put(`${frame.type}()`)} }
    if (lane == 0u) { loss_put(group, 0.0f); }
    return;
  }
  ${sumOfExponentials(frame, x)}
  for (var k = lane; k < P.loads; k += lanes) {
    let v = ${frame.load(x, "start + k")};
    var share = exp(v - most) / total;
    if (k == ${frame.wide ? "index / 4u" : "index"}) {
      loss_put(group, log(total) + (most - ${pick("v")}));
      ${pick("share")} -= 1.0f;
    }
    ${put("share")}
  }`,
  };
}
