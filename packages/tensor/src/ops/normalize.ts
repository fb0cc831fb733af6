import { isGradEnabled } from "../autograd/gradMode.ts";
import { ShapeError } from "../errors.ts";
import { show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add } from "./add.ts";
import { mean } from "./mean.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { forwardKernel, gradientKernel } from "./normalize.wgsl.ts";
import { type NormAffineAttrs, normalizationAffine } from "./normalizeAffine.ts";
import { apply, type CpuArray, type Meta, type Op } from "./op.ts";
import { commonType } from "./pointwise/pointwise.ts";
import { pow } from "./pow.ts";
import { checkRows, rowsOf } from "./rows.ts";
import { sub } from "./sub.ts";

export interface NormAttrs {
  readonly eps: number;
}

/** The ops that `normalizationGradient` made. */
const gradientOps = new WeakSet<object>();

/** Inputs are [x, weight, bias]: each later one may be missing from the end. */
const names = ["x", "weight", "bias"];

/** A norm and its gradients, each in an op of its own. */
export interface NormOps {
  /** Whether the mean is taken away. */
  readonly centered: boolean;
  /** Inputs [x, weight?, bias?]. */
  readonly op: Op<NormAttrs>;
  /** By x. */
  readonly gradientOp: Op<NormGradientAttrs>;
  /** By weight and bias. */
  readonly affineOp: Op<NormAffineAttrs>;
}

/**
 * What rmsNorm and layerNorm share: with m = mean x (0 unless `centered`) and r = 1 / √(mean (x − m)² + eps), a row
 * x̂ = (x − m) · r, and y = x̂ · weight + bias.
 */
export function normalization(name: string, centered: boolean): NormOps {
  const gradientOp = normalizationGradient(name, centered);
  const affineOp = normalizationAffine(name, centered);
  const op: Op<NormAttrs> = {
    name,

    infer(inputs) {
      const [x, ...affine] = inputs;
      checkRows(name, "x", x);
      affine.forEach((part, i) => {
        checkAffine(name, names[i + 1], part, x);
      });
      return [{ shape: x.shape, dtype: commonType(name, names, inputs) }];
    },

    cpu([x, weight, bias], [y], { eps }) {
      const { rows, n } = rowsOf(x);
      const from = x.data;
      const to = y.data;
      const gains = doubles(weight, n, 1);
      const shifts = doubles(bias, n, 0);
      for (let row = 0; row < rows; row++) {
        const start = row * n;
        let m = 0;
        if (centered) {
          for (let k = start; k < start + n; k++) m += from[k];
          m /= n;
        }
        let squares = 0;
        for (let k = start; k < start + n; k++) {
          const v = from[k] - m;
          squares += v * v;
        }
        const r = 1 / Math.sqrt(squares / n + eps);
        for (let k = 0; k < n; k++) to[start + k] = (from[start + k] - m) * r * gains[k] + shifts[k];
      }
    },

    wgsl([x, weight, bias], [y], { eps }, gpu) {
      return [forwardKernel({ x, weight, bias, y, centered, eps }, gpu)];
    },

    gradient({ inputs: [x, weight], dy, attrs, needs }) {
      const dx = !needs[0]
        ? undefined
        : apply(gradientOp, weight === undefined ? [x, dy] : [x, dy, weight], {
            ...attrs,
            residual: false,
          })[0];
      if (needs[1] && !isGradEnabled())
        return [dx, ...apply(affineOp, [x, dy], { ...attrs, bias: needs[2] === true })];
      // dweight = dy · x̂ and dbias = dy, both summed over the rows by the tape.
      return [dx, needs[1] ? mul(dy, apply(op, [x], attrs)[0]) : undefined, needs[2] ? dy : undefined];
    },
    saves: (inputs) => ({ inputs: inputs.length > 1 ? [0, 1] : [0] }),
    flops: ([x]) => 5 * sizeOf(x.shape),
  };
  return { centered, op, gradientOp, affineOp };
}

export interface NormGradientAttrs extends NormAttrs {
  /** Whether the last input is a gradient that reaches x another way, which is added. */
  readonly residual: boolean;
}

/** The optional inputs of a gradient, by name. */
function named<T>(inputs: readonly T[], { residual }: NormGradientAttrs) {
  const [x, dy, third, fourth] = inputs;
  const weight = inputs.length > (residual ? 3 : 2) ? third : undefined;
  return { x, dy, weight, residual: residual ? (fourth ?? third) : undefined };
}

/**
 * Inputs [x, dy, weight?, residual?]. With g = dy · weight: dx = r · (g − mean g − x̂ · mean(g · x̂)) + residual, without
 * mean g unless `centered`; that is J·g with a symmetric J. r is computed again: to save it would cost more than the sum,
 * which rides along in the loop that reads x anyway.
 */
function normalizationGradient(name: string, centered: boolean): Op<NormGradientAttrs> {
  const op: Op<NormGradientAttrs> = {
    name: `${name}Gradient`,
    infer: ([x, dy]) => [{ shape: x.shape, dtype: dy.dtype }],

    cpu(inputs, [dx], attrs) {
      const { x, dy, weight, residual } = named(inputs, attrs);
      const { rows, n } = rowsOf(x);
      const from = x.data;
      const dys = dy.data;
      const to = dx.data;
      const gains = doubles(weight, n, 1);
      for (let row = 0; row < rows; row++) {
        const start = row * n;
        let m = 0;
        let meanG = 0;
        if (centered) {
          for (let k = 0; k < n; k++) {
            m += from[start + k];
            meanG += dys[start + k] * gains[k];
          }
          m /= n;
          meanG /= n;
        }
        let squares = 0;
        let dot = 0;
        for (let k = 0; k < n; k++) {
          const v = from[start + k] - m;
          squares += v * v;
          dot += dys[start + k] * gains[k] * v;
        }
        const r = 1 / Math.sqrt(squares / n + attrs.eps);
        const slope = (r * r * dot) / n;
        for (let k = 0; k < n; k++) {
          const own = r * (dys[start + k] * gains[k] - meanG - (from[start + k] - m) * slope);
          to[start + k] = residual === undefined ? own : own + residual.data[start + k];
        }
      }
    },

    wgsl(inputs, [dx], attrs, gpu) {
      return [gradientKernel({ ...named(inputs, attrs), dx, centered, eps: attrs.eps }, gpu)];
    },

    // For the cotangent c: d(g) = J·c, since J is symmetric, and, as J = r · (I − x̂·x̂ᵀ/n) up to the centering,
    // d(x) = −r · (x̂ · mean(g · J·c) + J·(c · mean(g · x̂) + g · mean(c · x̂))).
    gradient({ inputs, dy: c, attrs, needs }) {
      const { x, dy, weight } = named(inputs, attrs);
      const j = (v: Tensor): Tensor => apply(op, [x, v], { ...attrs, residual: false })[0];
      const jc = j(c);
      const dg = (): Tensor => (weight === undefined ? jc : mul(jc, weight));
      const byX = (): Tensor => {
        const g = weight === undefined ? dy : mul(dy, weight);
        const offset = centered ? sub(x, rowMean(x)) : x;
        const r = pow(add(rowMean(mul(offset, offset)), attrs.eps), -0.5);
        const unit = mul(offset, r);
        const bent = j(add(mul(c, rowMean(mul(g, unit))), mul(g, rowMean(mul(c, unit)))));
        return neg(mul(r, add(mul(rowMean(mul(g, jc)), unit), bent)));
      };
      const byWeight = weight === undefined ? [] : [needs[2] ? mul(jc, dy) : undefined];
      return [
        needs[0] ? byX() : undefined,
        needs[1] ? dg() : undefined,
        ...byWeight,
        attrs.residual ? c : undefined,
      ];
    },
    flops: ([x]) => 9 * sizeOf(x.shape),
  };
  gradientOps.add(op);
  return op;
}

/** Whether a run of `op` is the input gradient of a norm, and `attrs` its attributes. */
export const isNormGradient = (op: object, attrs: unknown): attrs is NormGradientAttrs =>
  gradientOps.has(op) && attrs !== null;

/** Throws unless `part` has one value for each feature of `x`. */
export function checkAffine(who: string, name: string, part: Meta, x: Meta): void {
  const features = x.shape[x.shape.length - 1];
  if (part.shape.length !== 1 || part.shape[0] !== features)
    throw new ShapeError(
      who,
      `${name} must be [${features}], the last axis of x ${show(x.shape)}, got ${show(part.shape)}.`,
    );
}

function rowMean(x: Tensor): Tensor {
  return mean(x, -1, { keepDim: true });
}

/** The affine values in float64, or `value` for each where there are none. */
function doubles(array: CpuArray | undefined, n: number, fill: number): Float64Array {
  return array === undefined ? new Float64Array(n).fill(fill) : Float64Array.from(array.data);
}
