import type { View } from "../../device/device.ts";
import type { TypedArray } from "../../dtype.ts";
import { DTypeError, GradError, ShapeError } from "../../errors.ts";
import type { PackedLayout } from "../../formats/packed/packed.ts";
import { sameShape, show, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { add } from "../add.ts";
import type { GpuInfo, Kernel } from "../kernel.ts";
import { mul } from "../mul.ts";
import { apply, type CpuArray, type GradientContext, type Meta, type Op, type Together } from "../op.ts";
import { packedFast } from "../packedMatmul/cpu.ts";
import { bindMatrix, checkParts, type PackedMatrix } from "../packedMatmul/matrix.ts";
import { commonType } from "../pointwise/pointwise.ts";
import { sum } from "../sum.ts";
import { matmulFast } from "./fast.ts";
import { planMatmul } from "./plan.ts";
import { type MemberView, productsKernels } from "./products.wgsl.ts";
import type { Source } from "./reader.ts";
import { matmulReference } from "./reference.ts";
import type { TileClass } from "./tiles.ts";

/** One product of a sum: numbers of inputs, two matrices. */
export interface ProductTerm {
  readonly a: number;
  /** Where b is packed, the first of its parts; the others follow. */
  readonly b: number;
  readonly packed?: PackedLayout;
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
    const parts = partsOf(attrs);
    const dense = [...inputs.keys()].filter((i) => !parts.has(i));
    const dtype = commonType(
      "products",
      dense.map((i) => nameOf(attrs, i)),
      dense.map((i) => inputs[i]),
    );
    return attrs.members.map((member, j) => {
      if (member.terms.length === 0)
        throw new ShapeError("products", `sum ${j} must have at least one product, got none.`);
      const shapes = member.terms.map((term) => shapeOfTerm(term, inputs, attrs));
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

  wgsl: (inputs, outputs, attrs, gpu) => kernelsOf(inputs, outputs, attrs, gpu),

  gradient(context) {
    const { inputs, needs } = context;
    return inputs.map((_, i) => (needs[i] ? gradientOf(i, context) : undefined));
  },

  saves: (_, { members }) => ({
    inputs: [
      ...new Set(members.flatMap(({ terms }) => terms.flatMap((term) => [term.a, ...partsOfB(term)]))),
    ],
  }),

  together(_, { members }) {
    const lists = new Map<string, Set<number>>();
    const note = (name: string, input: number) =>
      lists.set(name, (lists.get(name) ?? new Set<number>()).add(input));
    for (const { terms, bias, residual } of members) {
      terms.forEach((term, t) => {
        const { a, section = t, packed } = term;
        note(`a${section}`, a);
        for (const [i, b] of partsOfB(term).entries()) note(`b${section}${packed?.format.name ?? ""}${i}`, b);
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
  wgsl: (inputs, outputs, attrs, gpu) => kernelsOf(inputs, outputs, attrs, gpu, tile),
});

/** The inputs that are b of a term. */
const partsOfB = ({ b, packed }: ProductTerm): number[] =>
  packed === undefined ? [b] : packed.format.parts(packed).map((_, i) => b + i);

/** The inputs that are parts of packed matrices. */
const partsOf = ({ members }: ProductsAttrs): Set<number> =>
  new Set(
    members.flatMap(({ terms }) =>
      terms.flatMap((term) => (term.packed === undefined ? [] : partsOfB(term))),
    ),
  );

function nameOf({ members }: ProductsAttrs, i: number): string {
  const terms = members.flatMap((member) => member.terms);
  if (terms.some(({ a }) => a === i)) return "a";
  if (terms.some(({ b }) => b === i)) return "b";
  return members.some(({ bias }) => bias === i) ? "bias" : "residual";
}

function shapeOfTerm(term: ProductTerm, inputs: readonly Meta[], attrs: ProductsAttrs): [number, number] {
  const a = inputs[term.a];
  const b = matrixOf(term, inputs);
  if (a.shape.length !== 2 || b.shape.length !== 2)
    throw new ShapeError(
      "products",
      `a and b must be matrices, got ${show(a.shape)} and ${show(b.shape)}. Use reshape on them.`,
    );
  if (term.packed !== undefined) {
    checkParts(
      "products",
      term.packed,
      partsOfB(term).map((i) => inputs[i]),
    );
    if (term.packed.format.rowScale !== undefined)
      throw new DTypeError(
        "products",
        `b must have a scale in its blocks, got ${term.packed.format.name} with one for each row. Use packedMatmul.`,
      );
  }
  const { m, n } = planMatmul(a, b, attrs, "products");
  return [m, n];
}

/** Shape and type of b, as if it were not packed. */
const matrixOf = ({ b, packed }: ProductTerm, inputs: readonly Meta[]): Meta =>
  packed === undefined ? inputs[b] : { shape: packed.shape, dtype: "f32" };

function kernelsOf(
  inputs: readonly View[],
  outputs: readonly View[],
  attrs: ProductsAttrs,
  gpu: GpuInfo,
  tile?: TileClass,
): Kernel[] {
  const before: Kernel[] = [];
  const sourceOf = (term: ProductTerm): Source => {
    if (term.packed === undefined) return inputs[term.b];
    const { kernels, stored } = bindMatrix(
      term.packed,
      partsOfB(term).map((i) => inputs[i]),
      gpu,
    );
    before.push(...kernels);
    return stored;
  };
  const members = attrs.members.map(({ terms, scale, bias, residual }, j): MemberView => {
    const [m, n] = outputs[j].shape;
    return {
      m,
      n,
      scale,
      terms: terms.map((term) => ({
        a: inputs[term.a],
        b: sourceOf(term),
        k: inputs[term.a].shape[attrs.transposeA ? 0 : 1],
      })),
      addends: [
        ...(bias === undefined ? [] : [{ view: inputs[bias], row: 0, column: 1 }]),
        ...(residual === undefined ? [] : [{ view: inputs[residual], row: n, column: 1 }]),
      ],
      y: outputs[j],
    };
  });
  return [...before, ...productsKernels(members, attrs, gpu, tile)];
}

/** Every sum in float64, rounded once. */
function sumExactly(
  { terms, scale, bias, residual }: ProductMember,
  inputs: readonly CpuArray[],
  { data: y }: CpuArray,
  attrs: ProductsAttrs,
): void {
  const sums = terms.map((term) => {
    const product = new Float64Array(y.length);
    const plan = planMatmul(inputs[term.a], matrixOf(term, inputs), attrs);
    matmulReference(plan, inputs[term.a].data, valuesOf(term, inputs), product);
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
  terms.forEach((term, t) => {
    const into = t === 0 ? y : product;
    const { shape: shapeA, data } = inputs[term.a];
    if (term.packed !== undefined && !attrs.transposeA && data instanceof Float32Array) {
      const parts = partsOfB(term).map((i) => inputs[i].data);
      packedFast(term.packed, parts, data, into, shapeA[0], attrs.transposeB);
    } else {
      const plan = planMatmul(inputs[term.a], matrixOf(term, inputs), attrs);
      matmulFast(plan, data, valuesOf(term, inputs), into);
    }
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

/** The values of b, decoded where they are packed. */
function valuesOf(term: ProductTerm, inputs: readonly CpuArray[]): TypedArray {
  const { packed } = term;
  if (packed === undefined) return inputs[term.b].data;
  const values = new Float32Array(sizeOf(packed.shape));
  const parts = partsOfB(term).map((i) => inputs[i].data);
  packed.format.decode(packed, parts, 0, values.length, values);
  return values;
}

function addInto(y: Float32Array, x: Float32Array): void {
  for (let i = 0; i < y.length; i++) y[i] += x[i];
}

interface Share {
  readonly a: Tensor;
  readonly b: Tensor | PackedMatrix;
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
    for (const { a, b, packed } of terms) {
      if (a === i && packed !== undefined && transposeA)
        throw new GradError("products", "a must not be transposed beside a packed b, to have a gradient.");
      if (a === i)
        shares.push(
          transposeA
            ? { a: inputs[b], b: dy, transposeA: transposeB, transposeB: true, scale }
            : {
                a: dy,
                b: packed === undefined ? inputs[b] : packedOf(packed, b, inputs),
                transposeA: false,
                transposeB: !transposeB,
                scale,
              },
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

const packedOf = (layout: PackedLayout, first: number, inputs: readonly Tensor[]): PackedMatrix => ({
  layout,
  parts: layout.format.parts(layout).map((_, p) => inputs[first + p]),
});

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
  /** Pairs a, b as in `matmul`, with any inner sizes. b may be packed, in a format with scales in its blocks. */
  readonly terms: readonly (readonly [a: Tensor, b: Tensor | PackedMatrix])[];
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
    const placed = terms.map(([a, b]): ProductTerm => {
      if ("shape" in b) return { a: place(a), b: place(b) };
      const first = { a: place(a), b: inputs.length, packed: b.layout };
      inputs.push(...b.parts);
      return first;
    });
    return {
      terms: placed,
      scale,
      bias: bias === undefined ? undefined : place(bias),
      residual: residual === undefined ? undefined : place(residual),
    };
  });
  return apply(productsOp, inputs, { members, transposeA, transposeB });
}
