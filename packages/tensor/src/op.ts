// For packages that add ops of their own.
export { changesNothing, everyStep } from "./compile/live.ts";
export { isTracing } from "./compile/trace.ts";
export { attentionBy } from "./ops/attention/attention.ts";
export { composedAttention } from "./ops/attention/composed.ts";
export type { AttentionClass } from "./ops/attention/tiles.ts";
export type { Binding, GpuInfo, Kernel, Param } from "./ops/kernel.ts";
export { matmulBy } from "./ops/matmul/matmul.ts";
export { type MatmulAttrs, planMatmul } from "./ops/matmul/plan.ts";
export {
  type ProductMember,
  type ProductsAttrs,
  type ProductTerm,
  productsBy,
  productsOp,
} from "./ops/matmul/products.ts";
export type { Reader, Source, Stored } from "./ops/matmul/reader.ts";
export { matmulKernel, type TileClass } from "./ops/matmul/tiles.ts";
export {
  apply,
  applyOn,
  type CpuArray,
  type CpuContext,
  type GradientContext,
  type Meta,
  type Op,
  type Together,
} from "./ops/op.ts";
export { type PackedMatmulAttrs, packedMatmulBy } from "./ops/packedMatmul/packedMatmul.ts";
export { type Expr, e } from "./ops/pointwise/expr.ts";
export { type PointwiseSpec, pointwise } from "./ops/pointwise/pointwise.ts";
