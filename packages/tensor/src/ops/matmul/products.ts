import type { View } from "../../device/device.ts";
import { ShapeError } from "../../errors.ts";
import { sameShape, show, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { add } from "../add.ts";
import { mul } from "../mul.ts";
import { apply, type CpuArray, type GradientContext, type Meta, type Op, type Together } from "../op.ts";
import { commonType } from "../pointwise/pointwise.ts";
import { sum } from "../sum.ts";
import { matmulFast } from "./fast.ts";
import { planMatmul } from "./plan.ts";
import { type MemberView, productsKernels } from "./products.wgsl.ts";
import { matmulReference } from "./reference.ts";
import type { TileClass } from "./tiles.ts";

/** One product of a sum: numbers of inputs, two matrices. */
export interface ProductTerm {
  readonly a: number;
  readonly b: number;
  /**
   * Terms of one section should find their a in one buffer and their b in another (see `Op.together`): a kernel has code for two
   * sections, and for any number of terms in them. Default: the place of the term in its sum.
   */
  readonly section?: number;
}

/** One output: `scale · Σ a · b + bias + residual`. */
export interface ProductMember {
  readonly terms: readonly ProductTerm[];
  readonly scale: number;
  /** The number of an input `[n]`. */
  readonly bias?: number;
  /** The number of an input `[m, n]`. */
  readonly residual?: number;
}

export interface ProductsAttrs {
  readonly members: readonly ProductMember[];
  /** Of every product, as in `matmul`. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

export const productsOp: Op<ProductsAttrs> = {
  name: "products",

  infer(inputs, attrs) {
    const dtype = commonType(
      "products",
      inputs.map((_, i) => nameOf(attrs, i)),
      inputs,
    );
    return attrs.members.map((member, j) => {
      if (member.terms.length === 0)
        throw new ShapeError("products", `sum ${j} must have at least one product, got none.`);
      const shapes = member.terms.map(({ a, b }) => shapeOfTerm(inputs[a], inputs[b], attrs));
      const [first] = shapes;
      const other = shapes.find((shape) => !sameShape(shape, first));
      if (other !== undefined)
        throw new ShapeError(
          "products",
          `all products of a sum must have one shape, got ${show(first)} and ${show(other)}.`,
        );
      check("bias", member.bias, [first[1]]);
      check("residual", member.residual, first);
      return { shape: first, dtype };
    });

    function check(name: string, i: number | undefined, shape: readonly number[]): void {
      if (i !== undefined && !sameShape(inputs[i].shape, shape))
        throw new ShapeError("products", `${name} must be ${show(shape)}, got ${show(inputs[i].shape)}.`);
    }
  },

  cpu(inputs, outputs, attrs, { fast }) {
    attrs.members.forEach((member, j) => {
      const { data } = outputs[j];
      if (fast && data instanceof Float32Array) sumFast(member, inputs, outputs[j], data, attrs);
      else sumExactly(member, inputs, outputs[j], attrs);
    });
  },

  wgsl: (inputs, outputs, attrs, gpu) => productsKernels(viewsOf(inputs, outputs, attrs), attrs, gpu),

  gradient(context) {
    const { inputs, needs } = context;
    return inputs.map((_, i) => (needs[i] ? gradientOf(i, context) : undefined));
  },

  saves: (_, { members }) => ({
    inputs: [...new Set(members.flatMap(({ terms }) => terms.flatMap(({ a, b }) => [a, b])))],
  }),

  together(_, { members }) {
    const lists = new Map<string, Set<number>>();
    const note = (name: string, input: number) =>
      lists.set(name, (lists.get(name) ?? new Set<number>()).add(input));
    for (const { terms, bias, residual } of members) {
      terms.forEach(({ a, b, section }, t) => {
        note(`a${section ?? t}`, a);
        note(`b${section ?? t}`, b);
      });
      if (bias !== undefined) note("bias", bias);
      if (residual !== undefined) note("residual", residual);
    }
    const hints: Together[] = [...lists.values()]
      .filter((list) => list.size > 1)
      .map((list) => ({ inputs: [...list] }));
    if (members.length > 1) hints.push({ outputs: [...members.keys()] });
    return hints;
  },

  flops: (inputs, outputs, { members, transposeA }) =>
    members.reduce(
      (all, { terms }, j) =>
        all +
        terms.reduce(
          (own, { a }) => own + 2 * sizeOf(outputs[j].shape) * inputs[a].shape[transposeA ? 0 : 1],
          0,
        ),
      0,
    ),
};

/** The same op by one class of kernels where that can take the products, for tests and benchmarks of the classes. */
export const productsBy = (tile: TileClass): Op<ProductsAttrs> => ({
  ...productsOp,
  wgsl: (inputs, outputs, attrs, gpu) => productsKernels(viewsOf(inputs, outputs, attrs), attrs, gpu, tile),
});

function nameOf({ members }: ProductsAttrs, i: number): string {
  const terms = members.flatMap((member) => member.terms);
  if (terms.some(({ a }) => a === i)) return "a";
  if (terms.some(({ b }) => b === i)) return "b";
  return members.some(({ bias }) => bias === i) ? "bias" : "residual";
}

function shapeOfTerm(a: Meta, b: Meta, attrs: ProductsAttrs): [number, number] {
  if (a.shape.length !== 2 || b.shape.length !== 2)
    throw new ShapeError(
      "products",
      `a and b must be matrices, got ${show(a.shape)} and ${show(b.shape)}. Use reshape on them.`,
    );
  const { m, n } = planMatmul(a, b, attrs, "products");
  return [m, n];
}

function viewsOf(
  inputs: readonly View[],
  outputs: readonly View[],
  attrs: ProductsAttrs,
): readonly MemberView[] {
  return attrs.members.map(({ terms, scale, bias, residual }, j) => {
    const [m, n] = outputs[j].shape;
    return {
      m,
      n,
      scale,
      terms: terms.map(({ a, b }) => ({
        a: inputs[a],
        b: inputs[b],
        k: inputs[a].shape[attrs.transposeA ? 0 : 1],
      })),
      addends: [
        ...(bias === undefined ? [] : [{ view: inputs[bias], row: 0, column: 1 }]),
        ...(residual === undefined ? [] : [{ view: inputs[residual], row: n, column: 1 }]),
      ],
      y: outputs[j],
    };
  });
}

/** Every sum in float64, rounded once. */
function sumExactly(
  { terms, scale, bias, residual }: ProductMember,
  inputs: readonly CpuArray[],
  { data: y }: CpuArray,
  attrs: ProductsAttrs,
): void {
  const sums = terms.map(({ a, b }) => {
    const product = new Float64Array(y.length);
    matmulReference(planMatmul(inputs[a], inputs[b], attrs), inputs[a].data, inputs[b].data, product);
    return product;
  });
  const shift = bias === undefined ? undefined : inputs[bias].data;
  const more = residual === undefined ? undefined : inputs[residual].data;
  for (let i = 0; i < y.length; i++) {
    let value = sums.reduce((total, product) => total + product[i], 0) * scale;
    if (shift !== undefined) value += shift[i % shift.length];
    if (more !== undefined) value += more[i];
    y[i] = value;
  }
}

/** In f32, step after step: each loop sees one type, so that V8 makes fast code of it. */
function sumFast(
  { terms, scale, bias, residual }: ProductMember,
  inputs: readonly CpuArray[],
  { shape }: CpuArray,
  y: Float32Array,
  attrs: ProductsAttrs,
): void {
  const product = terms.length > 1 ? new Float32Array(y.length) : y;
  terms.forEach(({ a, b }, t) => {
    const into = t === 0 ? y : product;
    matmulFast(planMatmul(inputs[a], inputs[b], attrs), inputs[a].data, inputs[b].data, into);
    if (t > 0) addInto(y, product);
  });
  if (scale !== 1) for (let i = 0; i < y.length; i++) y[i] *= scale;
  if (bias !== undefined) {
    const shift = Float32Array.from(inputs[bias].data);
    for (let start = 0; start < y.length; start += shape[1])
      addInto(y.subarray(start, start + shape[1]), shift);
  }
  if (residual !== undefined) {
    const { data } = inputs[residual];
    addInto(y, data instanceof Float32Array ? data : Float32Array.from(data));
  }
}

function addInto(y: Float32Array, x: Float32Array): void {
  for (let i = 0; i < y.length; i++) y[i] += x[i];
}

interface Share {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly scale: number;
}

// With y = a·b: da = dy·bᵀ and db = aᵀ·dy; a transposed operand gets the transposed product.
function gradientOf(i: number, { inputs, dys, attrs }: GradientContext<ProductsAttrs>): Tensor | undefined {
  const { members, transposeA, transposeB } = attrs;
  const shares: Share[] = [];
  const others: Tensor[] = [];
  members.forEach(({ terms, scale, bias, residual }, j) => {
    const dy = dys[j];
    if (dy === undefined) return;
    for (const { a, b } of terms) {
      if (a === i)
        shares.push(
          transposeA
            ? { a: inputs[b], b: dy, transposeA: transposeB, transposeB: true, scale }
            : { a: dy, b: inputs[b], transposeA: false, transposeB: !transposeB, scale },
        );
      if (b === i)
        shares.push(
          transposeB
            ? { a: dy, b: inputs[a], transposeA: true, transposeB: transposeA, scale }
            : { a: inputs[a], b: dy, transposeA: !transposeA, transposeB: false, scale },
        );
    }
    if (bias === i) others.push(sum(dy, [0]));
    if (residual === i) others.push(dy);
  });
  // One sum of products for each layout, which is one for all shares but where an input stands on both sides.
  for (const kind of new Set(shares.map(layoutOf)))
    others.push(sumOf(shares.filter((share) => layoutOf(share) === kind)));
  return others.length === 0 ? undefined : others.reduce((total, other) => add(total, other));
}

const layoutOf = ({ transposeA, transposeB }: Share): string => `${transposeA}${transposeB}`;

function sumOf(shares: readonly Share[]): Tensor {
  const [{ transposeA, transposeB, scale }] = shares;
  const same = shares.every((share) => share.scale === scale);
  return products(
    [
      {
        // A gradient is scaled before, where the others have another scale.
        terms: shares.map(({ a, b, scale: own }) => (same || own === 1 ? [a, b] : [mul(a, own), b])),
        scale: same ? scale : 1,
      },
    ],
    { transposeA, transposeB },
  )[0];
}

/** A sum of matrix products. */
export interface ProductSum {
  /** Pairs a, b as in `matmul`, with any inner sizes. */
  readonly terms: readonly (readonly [a: Tensor, b: Tensor])[];
  /** Multiplies the sum of the products. Default 1. */
  readonly scale?: number;
  /** `[n]`, added to every row. */
  readonly bias?: Tensor;
  /** `[m, n]`, added at last. */
  readonly residual?: Tensor;
}

/**
 * Sums of matrix products, `y = scale · Σ a · b + bias + residual`, as many as are given: on a GPU one dispatch, where the matrices that
 * take the same place lie in one buffer, and no value in between is stored. A low-rank update is
 * `products([{ terms: [[x, w], [u, loraB]] }], { transposeB: true })`. Sums as `matmul` does.
 *
 * @param sums - every a is `[m, k]` and every b `[k, n]`, or transposed as the options say; k may differ from term to term, m and n from sum to sum
 * @param options - as in `matmul`, for every product. Default: neither is transposed
 * @returns `[m, n]` for each sum
 */
export function products(
  sums: readonly ProductSum[],
  { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
): Tensor[] {
  const inputs: Tensor[] = [];
  const place = (tensor: Tensor): number => {
    const known = inputs.indexOf(tensor);
    return known >= 0 ? known : inputs.push(tensor) - 1;
  };
  const members = sums.map(({ terms, scale = 1, bias, residual }): ProductMember => {
    const placed = terms.map(([a, b]) => ({ a: place(a), b: place(b) }));
    return {
      terms: placed,
      scale,
      bias: bias === undefined ? undefined : place(bias),
      residual: residual === undefined ? undefined : place(residual),
    };
  });
  return apply(productsOp, inputs, { members, transposeA, transposeB });
}
