import { sizeOf } from "../../shape.ts";
import { apply, type Op } from "../op.ts";
import { commonType } from "../pointwise/pointwise.ts";
import { composedGradient } from "./composed.ts";
import { attentionFast, attentionGradientFast } from "./fast.ts";
import { type AttentionAttrs, inLayout, planAttention, sizes } from "./plan.ts";
import { attentionGradientReference, attentionReference } from "./reference.ts";
import { type AttentionClass, attentionGradientKernels, attentionKernels } from "./tiles.ts";

/** Inputs q, k, v and maybe segments; outputs y and the log-sum-exp of each row's scores, [batch, heads, queries]. */
export const attentionBy = (tile?: AttentionClass): Op<AttentionAttrs> => {
  const gradientOp = attentionGradientBy(tile);
  return {
    name: "attention",

    infer(inputs, attrs) {
      const { batch, heads, queries, valueDim } = planAttention(inputs, attrs);
      const dtype = commonType("scaledDotProductAttention", ["q", "k", "v"], inputs.slice(0, 3));
      return [
        { shape: inLayout(attrs.layout, [batch, heads, queries, valueDim]), dtype },
        { shape: [batch, heads, queries], dtype },
      ];
    },

    cpu(inputs, outputs, attrs, { fast }) {
      const compute = fast && outputs[0].dtype === "f32" ? attentionFast : attentionReference;
      compute(planAttention(inputs, attrs), attrs, inputs, outputs);
    },

    wgsl: ([q, k, v, segments], [y, lse], attrs, gpu) =>
      attentionKernels(planAttention([q, k, v], attrs), attrs, { q, k, v, segments }, y, lse, gpu, tile),

    gradient({ inputs, outputs: [y, lse], dy, attrs }) {
      const [q, k, v, ...segments] = inputs;
      return apply(gradientOp, [q, k, v, y, lse, dy, ...segments], attrs);
    },
    saves: (inputs) => ({ inputs: inputs.map((_, i) => i), outputs: [0, 1] }),
    flops: ([q, k, v], _, { layout, causal }) => {
      const [, , keys] = sizes(k, layout);
      const dims = q.shape[3] + v.shape[3];
      return (2 * (sizeOf(q.shape) / q.shape[3]) * keys * dims) / (causal ? 2 : 1);
    },
  };
};

/** Inputs q, k, v, y, log-sum-exp, dy and maybe segments; outputs dq, dk, dv. */
const attentionGradientBy = (tile?: AttentionClass): Op<AttentionAttrs> => ({
  name: "attentionGradient",

  infer: ([q, k, v, y]) => [q, k, v].map(({ shape }) => ({ shape, dtype: y.dtype })),

  cpu([q, k, v, y, lse, dy, ...segments], outputs, attrs, { fast }) {
    const compute = fast && y.dtype === "f32" ? attentionGradientFast : attentionGradientReference;
    compute(
      planAttention([q, k, v, ...segments], attrs),
      attrs,
      [q, k, v, ...segments],
      { y, lse, dy },
      outputs,
    );
  },

  wgsl: ([q, k, v, y, lse, dy, segments], outputs, attrs, gpu) =>
    attentionGradientKernels(
      planAttention([q, k, v], attrs),
      attrs,
      { q, k, v, segments },
      { y, lse, dy },
      outputs,
      gpu,
      tile,
    ),

  gradient: composedGradient,
  saves: (inputs) => ({ inputs: inputs.map((_, i) => i).filter((i) => i !== 3 && i !== 4) }),
  flops: ([q, k, v], _, { layout, causal }) => {
    const [, , keys] = sizes(k, layout);
    const dims = 3 * q.shape[3] + 2 * v.shape[3];
    return (2 * (sizeOf(q.shape) / q.shape[3]) * keys * dims) / (causal ? 2 : 1);
  },
});

export const attentionOp = attentionBy();
