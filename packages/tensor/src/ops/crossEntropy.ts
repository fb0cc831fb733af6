import { exponentials, plainExponentials } from "../device/cpu/wasm/exponentials.ts";
import type { View } from "../device/device.ts";
import { computeType, type TypedArray } from "../dtype.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { scope } from "../scope.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { lossKernel, sumOfExponentials, targetOfRow } from "./crossEntropy.wgsl.ts";
import { div } from "./div.ts";
import { onesLike } from "./fill.ts";
import type { Kernel } from "./kernel.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { apply, type Meta, type Op } from "./op.ts";
import { inShape } from "./reshape.ts";
import { checkRows, rowFrame, rowsOf } from "./rows.ts";
import { sum } from "./sum.ts";

export interface LossAttrs {
  /** The function that messages name. */
  readonly who: string;
  readonly ignoreIndex: number;
}

/**
 * Inputs: logits [rows, classes] and targets [rows]. Outputs, [rows] each: the loss, the logarithm of the sum of
 * exponentials (saved for the gradient) and 1 where the row counts, 0 where it is ignored.
 */
export const crossEntropyOp: Op<LossAttrs> = {
  name: "crossEntropy",

  infer([logits]) {
    const meta = { shape: logits.shape.slice(0, -1), dtype: computeType(logits.dtype) };
    return [meta, meta, meta];
  },

  cpu([logits, targets], [loss, lse, counted], attrs, { fast }) {
    const { rows, n } = rowsOf(logits);
    const exponentiate = fast && loss.dtype === "f32" ? exponentials : plainExponentials;
    const exps = new Float64Array(n);
    const x = logits.data;
    for (let row = 0; row < rows; row++) {
      const target = targetOf(targets.data, row, n, attrs);
      counted.data[row] = target < 0 ? 0 : 1;
      loss.data[row] = 0;
      lse.data[row] = 0;
      if (target < 0) continue;
      const start = row * n;
      let top = -Infinity;
      for (let k = start; k < start + n; k++) if (x[k] > top) top = x[k];
      let total = 0;
      for (let k = 0; k < n; k++) exps[k] = x[start + k] - top;
      exponentiate(exps, n);
      for (let k = 0; k < n; k++) total += exps[k];
      const log = Math.log(total);
      lse.data[row] = top + log;
      loss.data[row] = log + (top - x[start + target]);
    }
  },

  wgsl: ([logits, targets], [loss, lse, counted], attrs, gpu) => {
    const frame = rowFrame(rowsOf(logits).n, gpu, []);
    const x = frame.bind("x", logits, "read");
    return [
      {
        ...lossKernel(frame, logits, attrs),
        bindings: [
          x,
          { name: "goal", view: targets, access: "read" },
          { name: "loss", view: loss, access: "write" },
          { name: "lse", view: lse, access: "write" },
          { name: "counted", view: counted, access: "write" },
        ],
        main: () => `${targetOfRow}
  if (label == P.ignored) {
    if (lane == 0u) { loss_put(group, 0.0f); lse_put(group, 0.0f); counted_put(group, 0.0f); }
    return;
  }
  ${sumOfExponentials(frame, x)}
  if (lane == 0u) {
    let goal = ${frame.load(x, frame.wide ? "start + index / 4u" : "start + index")}${frame.wide ? "[index % 4u]" : ""};
    loss_put(group, log(total) + (most - goal));
    lse_put(group, most + log(total));
    counted_put(group, 1.0f);
  }`,
      },
    ];
  },

  // The second term appears only in a second derivative: the logarithm is an output that users do not see.
  gradient({ inputs: [logits, targets], outputs: [, lse], dys: [dloss, dlse], attrs, needs }) {
    if (!needs[0]) return [undefined, undefined];
    const term = (dy: Tensor | undefined, isLoss: boolean): Tensor | undefined =>
      dy && apply(crossEntropyGradientOp, [logits, targets, lse, dy], { ...attrs, isLoss })[0];
    const [byLoss, byLse] = [term(dloss, true), term(dlse, false)];
    return [byLoss === undefined || byLse === undefined ? (byLoss ?? byLse) : add(byLoss, byLse), undefined];
  },
  saves: () => ({ inputs: [0, 1], outputs: [1] }),
  flops: ([logits]) => 4 * sizeOf(logits.shape),
};

interface GradientAttrs extends LossAttrs {
  /** True: the gradient of the loss, (p − onehot) · dy. False: that of the logarithm alone, p · dy. */
  readonly isLoss: boolean;
}

/** Inputs: logits, targets, lse, dy [rows]. Output [rows, classes]: (exp(x − lse) − onehot) · dy, 0 in ignored rows. */
export const crossEntropyGradientOp: Op<GradientAttrs> = {
  name: "crossEntropyGradient",
  infer: ([logits, , lse]) => [{ shape: logits.shape, dtype: lse.dtype }],

  cpu([logits, targets, lse, dy], [dx], attrs, { fast }) {
    const { rows, n } = rowsOf(logits);
    const exponentiate = fast && dx.dtype === "f32" ? exponentials : plainExponentials;
    const shares = new Float64Array(n);
    const x = logits.data;
    const to = dx.data;
    for (let row = 0; row < rows; row++) {
      const target = targetOf(targets.data, row, n, attrs);
      const start = row * n;
      const scale = dy.data[row];
      if (target < 0 || scale === 0) {
        to.fill(0, start, start + n);
        continue;
      }
      const log = lse.data[row];
      for (let k = 0; k < n; k++) shares[k] = x[start + k] - log;
      exponentiate(shares, n);
      if (attrs.isLoss) shares[target] -= 1;
      for (let k = 0; k < n; k++) to[start + k] = shares[k] * scale;
    }
  },

  wgsl: ([logits, targets, lse, dy], [dx], attrs) => [gradientKernel(logits, targets, lse, dy, dx, attrs)],

  // With q = p · dy in counted rows, for the cotangent c: d(logits) = c·q, d(lse) = −Σ c·q, d(dy) = Σ c · (p − onehot).
  gradient({ inputs: [logits, targets, lse, dy], dy: c, attrs, needs }) {
    const run = (weights: Tensor, isLoss: boolean): Tensor =>
      mul(c, apply(crossEntropyGradientOp, [logits, targets, lse, weights], { ...attrs, isLoss })[0]);
    const bent = needs[0] || needs[2] ? run(dy, false) : undefined;
    return [
      needs[0] ? bent : undefined,
      undefined,
      needs[2] && bent !== undefined ? neg(sum(bent, -1)) : undefined,
      needs[3] ? sum(run(onesLike(dy), attrs.isLoss), -1) : undefined,
    ];
  },
  flops: ([logits]) => 3 * sizeOf(logits.shape),
};

/** One invocation a value; the rows' scalars come from the cache. */
function gradientKernel(
  logits: View,
  targets: View,
  lse: View,
  dy: View,
  dx: View,
  { ignoreIndex, isLoss }: GradientAttrs,
): Kernel {
  return {
    key: isLoss ? "loss" : "lse",
    over: "element",
    count: sizeOf(logits.shape),
    bindings: [
      { name: "x", view: logits, access: "read" },
      { name: "goal", view: targets, access: "read" },
      { name: "lse", view: lse, access: "read" },
      { name: "dy", view: dy, access: "read" },
      { name: "dx", view: dx, access: "write" },
    ],
    params: [
      ["n", "u32", rowsOf(logits).n],
      ["ignored", "i32", ignoreIndex],
    ],
    main: () => `let row = i / P.n;
  let label = i32(goal_at(row));
  var v = 0.0f;
  if (label != P.ignored) {
    v = exp(x_at(i) - lse_at(row));
    ${isLoss ? "if (i % P.n == u32(clamp(label, 0, i32(P.n) - 1))) { v -= 1.0f; }" : ""}
    v *= dy_at(row);
  }
  dx_put(i, v);`,
  };
}

/** The class of a row, or −1 where it is ignored. */
export function targetOf(
  targets: TypedArray,
  row: number,
  classes: number,
  { who, ignoreIndex }: LossAttrs,
): number {
  const target = targets[row] | 0;
  if (target === ignoreIndex) return -1;
  if (target >= 0 && target < classes) return target;
  throw new ValueError(
    who,
    `targets must be in [0, ${classes}) or ignoreIndex ${ignoreIndex}, got ${target}.`,
  );
}

/**
 * Cross-entropy of classes given as numbers: for each row `−logSoftmax(logits)[target]`. Rows whose target is
 * `ignoreIndex` count nothing and get no gradient. The probabilities are never stored: backward computes them from the
 * logits and one saved number a row.
 *
 * "mean" divides by the number of counted rows, as PyTorch; where every row is ignored that is 0/0, not a number.
 * The CPU device throws for a target that is no class; a GPU cannot, and takes the nearest class.
 *
 * @param logits - `[..., classes]`
 * @param targets - `[...]`, i32 or u32
 * @returns a scalar, or `[...]` with reduction "none" (0 in ignored rows)
 */
export function crossEntropy(
  logits: Tensor,
  targets: Tensor,
  {
    ignoreIndex = -100,
    reduction = "mean",
  }: { ignoreIndex?: number; reduction?: "mean" | "sum" | "none" } = {},
): Tensor {
  check(logits, targets);
  const rows = sizeOf(targets.shape);
  const classes = logits.shape[logits.shape.length - 1];
  return scope(() => {
    const [loss, , counted] = apply(
      crossEntropyOp,
      [inShape(logits, [rows, classes]), inShape(targets, [rows])],
      { who: "crossEntropy", ignoreIndex },
    );
    if (reduction === "none") return inShape(loss, targets.shape);
    return reduction === "sum" ? sum(loss) : div(sum(loss), sum(counted.detach()));
  });
}

function check(logits: Tensor, targets: Tensor): void {
  checkRows("crossEntropy", "logits", logits);
  if (logits.shape[logits.shape.length - 1] === 0)
    throw new ShapeError("crossEntropy", `logits must have at least one class, got ${show(logits.shape)}.`);
  checkTargets("crossEntropy", targets, "logits", logits, "the classes");
}

/** Throws unless there is one whole number for each row of `x`. */
export function checkTargets(who: string, targets: Meta, name: string, x: Meta, last: string): void {
  if (targets.dtype !== "i32" && targets.dtype !== "u32")
    throw new DTypeError(who, `targets must be i32 or u32, got ${targets.dtype}. Use cast first.`);
  const expected = x.shape.slice(0, -1);
  if (!sameShape(targets.shape, expected))
    throw new ShapeError(
      who,
      `targets must be ${show(expected)}, ${name} ${show(x.shape)} without ${last}, got ${show(targets.shape)}.`,
    );
}
