import { checkpoint } from "../autograd/checkpoint.ts";
import { enableGrad, isGradEnabled, noGrad } from "../autograd/gradMode.ts";
import { nextNodeId, type Variable } from "../autograd/node.ts";
import { fresh, usedFromOutside } from "../autograd/segment.ts";
import { gradients } from "../autograd/tape.ts";
import { bytesPer, computeType } from "../dtype.ts";
import { GradError, ShapeError, ValueError } from "../errors.ts";
import { scope } from "../scope.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { cast } from "./cast.ts";
import { concat } from "./concat.ts";
import { addInto } from "./copyInto.ts";
import {
  checkTargets,
  crossEntropy,
  crossEntropyGradientOp,
  crossEntropyOp,
  type LossAttrs,
} from "./crossEntropy.ts";
import { crossEntropyInPlaceOp } from "./crossEntropyInPlace.ts";
import { div } from "./div.ts";
import { onesLike } from "./fill.ts";
import { matmul } from "./matmul/matmul.ts";
import { mul } from "./mul.ts";
import { ne } from "./ne.ts";
import { apply, type Op, record } from "./op.ts";
import { inShape } from "./reshape.ts";
import { checkRows } from "./rows.ts";
import { slice } from "./slice.ts";
import { sum } from "./sum.ts";

/** A layer that gives the logits, where it is more than a matrix: with a bias, quantized, or with an adapter. */
export interface Head {
  /** Classes. */
  readonly outFeatures: number;
  /** @param x - `[rows, features]`; returns logits `[rows, outFeatures]`, each row from that row of `x` alone */
  forward(x: Tensor): Tensor;
}

export interface LinearCrossEntropyOptions {
  /** Rows with this target count nothing. Default −100. */
  readonly ignoreIndex?: number;
  /** Default "mean", over the rows that count. */
  readonly reduction?: "mean" | "sum" | "none";
  /** Bytes that logits and their gradients may take at once; a single row may take more. Default 96 MiB. */
  readonly logitBytes?: number;
}

/** Below WebGPU's default binding limit, 128 MiB: 512 rows of 49,152 logits. */
const LOGIT_BYTES = 96 * 2 ** 20;

const WHO = "linearCrossEntropy";

/**
 * The record of a loss whose gradients were made along with it. Inputs: all that wants a gradient. Outputs: the sum of the
 * losses, and its gradient by each input, which users do not see.
 */
const lossOp: Op<null> = {
  name: WHO,
  infer: (metas) => metas,
  gradient({ inputs, outputs, dy, needs }) {
    if (isGradEnabled())
      throw new GradError(
        WHO,
        "gradients of gradients do not pass through it. Use crossEntropy(linear(x, weight), targets) there.",
      );
    return inputs.map((_, i) => (needs[i] ? mul(outputs[i + 1], dy) : undefined));
  },
  saves: (inputs) => ({ outputs: inputs.map((_, i) => i + 1) }),
};

/**
 * `crossEntropy(x · weightᵀ, targets)` for many classes: the logits never exist whole. Some rows at a time get their
 * logits, which one kernel turns into losses and, in place, into gradients; these are multiplied back at once, so backward
 * only scales what is there. Costs the same multiplications as the plain composition, and memory for one piece of logits.
 *
 * @param x - `[..., features]`
 * @param head - `[classes, features]`, as Linear keeps its weight; or a layer, whose gradients are found as backward would,
 *   at twice the memory for a row. What it uses from outside gets its gradient as usual
 * @param targets - `[...]`, i32 or u32, treated as by `crossEntropy`
 * @returns a scalar, or `[...]` with reduction "none", whose backward computes the logits again
 * @see Hsu et al. 2024, Liger Kernel, §3.2, https://arxiv.org/abs/2410.10989
 */
export function linearCrossEntropy(
  x: Tensor,
  head: Tensor | Head,
  targets: Tensor,
  { ignoreIndex = -100, reduction = "mean", logitBytes = LOGIT_BYTES }: LinearCrossEntropyOptions = {},
): Tensor {
  const classes = check(x, head, targets, logitBytes);
  const rows = sizeOf(targets.shape);
  const isMatrix = "isGraftTensor" in head;
  return scope(() => {
    const flat = inShape(x, [rows, x.shape[x.shape.length - 1]]);
    const goals = inShape(targets, [rows]);
    // A layer may hold on to its logits, so their gradient gets room of its own.
    const bytesOfRow = (isMatrix ? 1 : 2) * classes * bytesPer(computeType(x.dtype));
    const cut = cutRows(rows, Math.floor(logitBytes / bytesOfRow));
    if (reduction === "none") {
      const losses = cut.map(([start, end]) => {
        const run = (part: Tensor, goal: Tensor): Tensor =>
          crossEntropy(isMatrix ? matmul(part, head, { transposeB: true }) : head.forward(part), goal, {
            ignoreIndex,
            reduction,
          });
        return checkpoint(run, slice(flat, 0, start, end), slice(goals, 0, start, end));
      });
      return inShape(concat(losses, 0), targets.shape);
    }
    const attrs = { who: WHO, ignoreIndex };
    const total = isMatrix
      ? overPieces(flat, goals, cut, matrixPiece(flat, head, attrs), addedInto)
      : overPieces(flat, goals, cut, layerPiece(flat, head, attrs), add);
    return reduction === "sum" ? total : div(total, sum(cast(ne(goals, ignoreIndex), total.dtype)));
  });
}

/** A gradient of what the head uses. */
interface Share {
  readonly input: Tensor;
  readonly gradient: Tensor;
}

/** What one piece of the rows gives: the losses of its rows, and its gradients by its rows and by what the head uses. */
interface Piece {
  readonly losses: Tensor;
  readonly dx: Tensor | undefined;
  readonly shares: readonly Share[];
}

type RunPiece = (part: Tensor, goals: Tensor) => Piece;

/** Logits, losses and gradients of a matrix, the logits in one buffer that changes its meaning. */
function matrixPiece(x: Tensor, weight: Tensor, attrs: LossAttrs): RunPiece {
  const [byX, byWeight] = [x, weight].map(({ requiresGrad }) => isGradEnabled() && requiresGrad);
  return (part, goals) => {
    const logits = matmul(part, weight, { transposeB: true });
    if (!byX && !byWeight)
      return { losses: apply(crossEntropyOp, [logits, goals], attrs)[0], dx: undefined, shares: [] };
    const [losses] = apply(crossEntropyInPlaceOp, [logits, goals], attrs);
    return {
      losses,
      dx: byX ? matmul(logits, weight) : undefined,
      shares: byWeight ? [{ input: weight, gradient: matmul(logits, part, { transposeA: true }) }] : [],
    };
  };
}

/** As `matrixPiece` for any layer: its record is walked back as soon as the gradient of its logits is known. */
function layerPiece(x: Tensor, head: Head, attrs: LossAttrs): RunPiece {
  const records = isGradEnabled();
  return (part, goals) => {
    const own = fresh(part, records && x.requiresGrad);
    const start = nextNodeId();
    const logits = records ? enableGrad(() => head.forward(own)) : head.forward(own);
    const [losses, lse] = apply(crossEntropyOp, [logits.detach(), goals], attrs);
    if (!logits.requiresGrad) return { losses, dx: undefined, shares: [] };
    const gradient = apply(crossEntropyGradientOp, [logits.detach(), goals, lse, onesLike(losses)], {
      ...attrs,
      isLoss: true,
    })[0];
    const used = usedFromOutside([logits], start, new Set([own.variable]));
    const wanted = own.requiresGrad ? [own, ...used] : used;
    const found = gradients([{ tensor: logits, gradient }], wanted);
    const shares = used.map((input, i) => ({ input, gradient: found[i + wanted.length - used.length] }));
    return {
      losses,
      dx: own.requiresGrad ? found[0] : undefined,
      shares: shares.filter((share): share is Share => share.gradient !== undefined),
    };
  };
}

/** The sum of the losses of all pieces, with its gradients where some are wanted. Only one piece is alive at a time. */
function overPieces(
  x: Tensor,
  goals: Tensor,
  cut: readonly (readonly [number, number])[],
  run: RunPiece,
  accumulate: (total: Tensor, next: Tensor) => Tensor,
): Tensor {
  const losses: Tensor[] = [];
  const dxs: Tensor[] = [];
  const totals = new Map<Variable, Share>();
  noGrad(() => {
    for (const [start, end] of cut) {
      const piece = scope(() => {
        const { losses: own, dx, shares } = run(slice(x, 0, start, end), slice(goals, 0, start, end));
        return { own, dx, joined: shares.map(joinTo(totals, accumulate)) };
      });
      losses.push(piece.own);
      if (piece.dx !== undefined) dxs.push(piece.dx);
      for (const share of piece.joined) totals.set(share.input.variable, share);
    }
  });
  const dx = dxs.length === 0 ? [] : [{ input: x, gradient: noGrad(() => concat(dxs, 0)) }];
  const total = noGrad(() => sum(concat(losses, 0)));
  const shares = [...dx, ...totals.values()];
  if (shares.length > 0)
    record(
      lossOp,
      shares.map(({ input }) => input),
      [total, ...shares.map(({ gradient }) => gradient)],
      null,
    );
  return total;
}

function joinTo(totals: ReadonlyMap<Variable, Share>, accumulate: (total: Tensor, next: Tensor) => Tensor) {
  return ({ input, gradient }: Share): Share => {
    const before = totals.get(input.variable)?.gradient;
    if (before === undefined) return { input, gradient };
    const total = accumulate(before, gradient);
    if (total !== before) before.dispose();
    return { input, gradient: total };
  };
}

/** For gradients that have a storage of their own, which a layer's may not. */
function addedInto(total: Tensor, next: Tensor): Tensor {
  addInto(total, next);
  return total;
}

/** Equal pieces of at most `most` rows, in steps of 16 (the rows of a tile) where there is room for them. */
function cutRows(rows: number, most: number): [number, number][] {
  const count = Math.max(1, Math.ceil(rows / Math.max(1, most)));
  const even = Math.ceil(rows / count);
  const each = Math.max(1, Math.min(Math.ceil(even / 16) * 16, Math.max(1, most)));
  const starts = Array.from({ length: Math.max(1, Math.ceil(rows / each)) }, (_, i) => i * each);
  return starts.map((start) => [start, Math.min(start + each, rows)]);
}

/** Throws where something does not fit; returns the number of classes. */
function check(x: Tensor, head: Tensor | Head, targets: Tensor, logitBytes: number): number {
  checkRows(WHO, "x", x);
  const features = x.shape[x.shape.length - 1];
  if ("isGraftTensor" in head && (head.shape.length !== 2 || head.shape[1] !== features))
    throw new ShapeError(
      WHO,
      `x must be [..., features] and head [classes, features], got ${show(x.shape)} and ${show(head.shape)}.`,
    );
  const classes = "isGraftTensor" in head ? head.shape[0] : head.outFeatures;
  if (classes === 0) throw new ShapeError(WHO, "head must have at least one class, got 0.");
  checkTargets(WHO, targets, "x", x, "the features");
  if (!(logitBytes > 0)) throw new ValueError(WHO, `logitBytes must be above 0, got ${logitBytes}.`);
  return classes;
}
