import type { Pass } from "../../compile/links.ts";
import { isLive } from "../../compile/live.ts";
import type { Run } from "../../compile/trace.ts";
import { TracedStorage } from "../../compile/trace.ts";
import type { View } from "../../device/device.ts";
import type { Storage } from "../../device/storage.ts";
import type { PackedLayout } from "../../formats/packed/packed.ts";
import { sameShape, sizeOf } from "../../shape.ts";
import type { Op } from "../op.ts";
import { type PackedMatmulAttrs, packedMatmulOp } from "../packedMatmul/packedMatmul.ts";
import type { Params } from "../pointwise/pointwise.ts";
import { matmulOp } from "./matmul.ts";
import type { planMatmul } from "./plan.ts";
import { type ProductMember, type ProductsAttrs, productsOp } from "./products.ts";
import { type Moving, Sequence } from "./sequence.ts";

interface Term {
  readonly a: View;
  /** b, or its parts where it is packed. */
  readonly b: readonly View[];
  readonly packed?: PackedLayout;
}

/** One sum of products over views, before its inputs are numbered. */
interface Sum {
  readonly terms: readonly Term[];
  readonly scale: number;
  readonly bias?: View;
  readonly residual?: View;
  /** `[m, n]` */
  readonly out: View;
}

/** A run of sums that all have one layout. */
interface Sums {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly members: readonly Sum[];
}

/** Up to this inner size a term counts as that of a thin factor, where another term is more than four times as long. */
const THIN_INNER = 256;
/** How many groups of its kind back a run looks for one to join: what belongs together stands close. */
const RECENT = 8;
/** Results with a side of at most this are computed by other tiles than the rest. */
const THIN_SIDE = 16;

/**
 * Makes sums of products of what adds products up, scales them, or adds a bias or another tensor; then one run of the sums that stand
 * together (queries, keys and values; the factors of one layer; their gradients).
 */
export const fuseProducts: Pass = (runs, leaving) => {
  const fusion = new Fusion(runs, leaving);
  for (const node of fusion.sequence.nodes()) if (!fusion.scale(node)) fusion.add(node);
  // Gradients first: nothing in their way reads them, and what stands before them can move when they have.
  fusion.group(true);
  fusion.group(false);
  return fusion.sequence.runs();
};

interface Made {
  readonly node: Moving;
  readonly sums: Sums;
}

class Fusion {
  readonly sequence: Sequence;
  readonly #known = new Map<Moving, Sums>();
  readonly #leaving: ReadonlySet<Storage>;

  constructor(runs: readonly Run[], leaving: ReadonlySet<Storage>) {
    this.sequence = new Sequence(runs);
    this.#leaving = leaving;
    for (const node of this.sequence.nodes()) {
      const sums = sumsOf(node.run);
      if (sums !== undefined) this.#known.set(node, sums);
    }
  }

  /** Takes the factor of a run that scales a sum into the sum. */
  scale(node: Moving): boolean {
    const factor = scaleOf(node.run);
    if (factor === undefined) return false;
    const made = this.#madeFor(node, node.run.inputs[0]);
    const sum = made?.sums.members[0];
    if (made === undefined || sum === undefined || sum.bias !== undefined || sum.residual !== undefined)
      return false;
    const out = { ...node.run.outputs[0], shape: sum.out.shape };
    this.#replace([made.node, node], node, {
      ...made.sums,
      members: [{ ...sum, scale: sum.scale * factor, out }],
    });
    return true;
  }

  /** Makes one sum of two that a run adds, or takes what it adds to a sum into the sum. */
  add(node: Moving): void {
    if (!isAddition(node.run)) return;
    const [x, y] = node.run.inputs;
    const [out] = node.run.outputs;
    if (x.storage === y.storage) return;
    const made = [this.#madeFor(node, x), this.#madeFor(node, y)];
    const [one, other] = made;
    const joined = joinedOf(one?.sums, other?.sums, out);
    if (one !== undefined && other !== undefined && joined !== undefined) {
      this.#replace([one.node, other.node, node], node, joined);
      return;
    }
    for (const side of [1, 0]) {
      const own = made[side];
      const added = own === undefined ? undefined : withAddend(own.sums, node.run.inputs[1 - side], out);
      if (own === undefined || added === undefined) continue;
      this.#replace([own.node, node], node, added);
      return;
    }
  }

  /** Makes one run of the sums that have to do with each other: of the gradients of weights, or of the others. */
  group(areGradients: boolean): void {
    const kinds = new Map<string, { node: Moving }[]>();
    for (const node of this.sequence.nodes()) {
      const sums = this.#known.get(node);
      if (sums === undefined || sums.transposeA !== areGradients || !this.#isFinal(node)) continue;
      const kind = kindOf(sums);
      const groups = kinds.get(kind) ?? [];
      kinds.set(kind, groups);
      const group = groups
        .slice(-RECENT)
        .findLast((each) => isNear(this.sequence, each.node, node, areGradients));
      const others = group === undefined ? undefined : this.#known.get(group.node);
      const place = group === undefined ? undefined : this.sequence.meetingOf(group.node, node);
      if (group === undefined || others === undefined || place === undefined) {
        groups.push({ node });
        continue;
      }
      const members = [...others.members, ...sums.members];
      group.node = this.#replace([group.node, node], place, { ...sums, members });
    }
  }

  /** Whether nobody changes the results in place. The logits of a loss in pieces are, so that one piece is alive at a time. */
  #isFinal(node: Moving): boolean {
    return node.run.outputs.every(({ storage }) => this.sequence.producerOf(storage) === node);
  }

  /** The single sum that makes a whole value for one run alone, which can take its place. */
  #madeFor(reader: Moving, view: View): Made | undefined {
    const node = this.sequence.producerOf(view.storage);
    const sums = node === undefined ? undefined : this.#known.get(node);
    if (node === undefined || sums?.members.length !== 1 || this.#leaving.has(view.storage)) return undefined;
    const [{ out }] = sums.members;
    const isWhole = view.offset === out.offset && sizeOf(view.shape) === sizeOf(out.shape);
    return isWhole && this.sequence.feeds(node, reader) ? { node, sums } : undefined;
  }

  #replace(old: readonly Moving[], place: Moving, sums: Sums): Moving {
    for (const node of old) this.#known.delete(node);
    const node = this.sequence.replace(old, place, runOf(sums));
    this.#known.set(node, sums);
    return node;
  }
}

/** A run of products as sums; undefined for others, and for batches. */
function sumsOf(run: Run): Sums | undefined {
  if (run.op === (matmulOp as Op<unknown>)) {
    const [a, b] = run.inputs;
    if (a.shape.length !== 2 || b.shape.length !== 2) return undefined;
    const attrs = run.attrs as Parameters<typeof planMatmul>[2]; // those of matmulOp
    return { ...attrs, members: [{ terms: [{ a, b: [b] }], scale: 1, out: run.outputs[0] }] };
  }
  if (run.op === (packedMatmulOp as Op<unknown>)) {
    const [a, ...b] = run.inputs;
    const { layout: packed, transpose } = run.attrs as PackedMatmulAttrs; // those of packedMatmulOp
    // Scales of rows stand outside of a product, so that it has no place in a sum.
    if (packed.format.rowScale !== undefined) return undefined;
    const members = [{ terms: [{ a, b, packed }], scale: 1, out: run.outputs[0] }];
    return { transposeA: false, transposeB: transpose, members };
  }
  if (run.op === (productsOp as Op<unknown>)) {
    const { members, ...layout } = run.attrs as ProductsAttrs; // those of productsOp
    const view = (i: number | undefined) => (i === undefined ? undefined : run.inputs[i]);
    return {
      ...layout,
      members: members.map(({ terms, scale, bias, residual }, j) => ({
        terms: terms.map(({ a, b, packed }) => ({
          a: run.inputs[a],
          b: run.inputs.slice(b, b + (packed?.format.parts(packed).length ?? 1)),
          packed,
        })),
        scale,
        bias: view(bias),
        residual: view(residual),
        out: run.outputs[j],
      })),
    };
  }
  return undefined;
}

function runOf({ members, ...layout }: Sums): Run {
  const inputs: View[] = [];
  const place = (view: View): number => {
    const at = inputs.findIndex((other) => sameView(other, view));
    return at >= 0 ? at : inputs.push(view) - 1;
  };
  const numbered = members.map((sum): ProductMember => {
    const inner = sum.terms.map(({ a }) => a.shape[layout.transposeA ? 0 : 1]);
    const longest = Math.max(...inner);
    const [m, n] = sum.out.shape;
    return {
      terms: sum.terms.map(({ a, b, packed }, t) => ({
        a: place(a),
        b: packed === undefined ? place(b[0]) : inputs.push(...b) - b.length,
        packed,
        section: layout.transposeA
          ? // Gradients of a factor A read other buffers than those of a factor B.
            Number(m > n)
          : Number(inner[t] <= THIN_INNER && 4 * inner[t] < longest),
      })),
      scale: sum.scale,
      bias: sum.bias === undefined ? undefined : place(sum.bias),
      residual: sum.residual === undefined ? undefined : place(sum.residual),
    };
  });
  const attrs: ProductsAttrs = { ...layout, members: numbered };
  return { op: productsOp as Op<unknown>, attrs, inputs, outputs: members.map(({ out }) => out) };
}

const sameView = (a: View, b: View): boolean =>
  a.storage === b.storage && a.offset === b.offset && a.dtype === b.dtype && sameShape(a.shape, b.shape);

/** The number that a run multiplies its only input by. */
function scaleOf({ op: { formula }, attrs, inputs, outputs }: Run): number | undefined {
  if (formula?.kind !== "call" || formula.fn !== "mul" || inputs.length !== 1 || outputs.length !== 1)
    return undefined;
  if (isLive(attrs as Params)) return undefined; // formulas have params only
  if (outputs[0].dtype !== inputs[0].dtype) return undefined;
  const [x, y] = formula.args;
  const factor = x.kind === "input" ? y : y.kind === "input" ? x : undefined;
  if (factor?.kind === "const") return factor.value;
  if (factor?.kind === "param") return (attrs as Params)[factor.name]; // formulas have params only
  return undefined;
}

/** Whether a run adds its two inputs. */
function isAddition({ op: { formula }, inputs, outputs }: Run): boolean {
  return (
    formula?.kind === "call" &&
    formula.fn === "add" &&
    formula.args.length === 2 &&
    formula.args.every(({ kind }) => kind === "input") &&
    inputs.length === 2 &&
    outputs.length === 1
  );
}

/** The sum of two sums of one layout, shape and scale, with what is added to either. */
function joinedOf(first: Sums | undefined, second: Sums | undefined, out: View): Sums | undefined {
  if (first === undefined || second === undefined) return undefined;
  if (first.transposeA !== second.transposeA || first.transposeB !== second.transposeB) return undefined;
  const [one] = first.members;
  const [other] = second.members;
  if (!sameShape(one.out.shape, other.out.shape) || one.scale !== other.scale) return undefined;
  if (sizeOf(out.shape) !== sizeOf(one.out.shape)) return undefined;
  if (one.bias !== undefined && other.bias !== undefined) return undefined;
  if (one.residual !== undefined && other.residual !== undefined) return undefined;
  return {
    ...first,
    members: [
      {
        terms: [...one.terms, ...other.terms],
        scale: one.scale,
        bias: one.bias ?? other.bias,
        residual: one.residual ?? other.residual,
        out: { ...out, shape: one.out.shape },
      },
    ],
  };
}

/** The sum with another tensor added to it, as a residual or, of one row, as a bias. */
function withAddend(sums: Sums, more: View, out: View): Sums | undefined {
  const [sum] = sums.members;
  const { shape } = sum.out;
  if (sizeOf(out.shape) !== sizeOf(shape)) return undefined;
  const added = { ...sum, out: { ...out, shape } };
  if (sizeOf(more.shape) === sizeOf(out.shape)) {
    if (sum.residual !== undefined) return undefined;
    return { ...sums, members: [{ ...added, residual: { ...more, shape } }] };
  }
  const isRow = more.shape[more.shape.length - 1] === shape[1] && sizeOf(more.shape) === shape[1];
  const isLast = out.shape[out.shape.length - 1] === shape[1];
  if (!isRow || !isLast || sum.bias !== undefined || sum.residual !== undefined) return undefined;
  return { ...sums, members: [{ ...added, bias: { ...more, shape: [shape[1]] } }] };
}

/** Sums that may share a run: of one layout, thin or not, of one product or of several. */
function kindOf({ transposeA, transposeB, members: [{ terms, out }] }: Sums): string {
  return [transposeA, transposeB, Math.min(...out.shape) <= THIN_SIDE, terms.length > 1].join();
}

/** Whether sums have to do with each other: they read the same, or what one run made, or one run of products reads them. */
function isNear(sequence: Sequence, one: Moving, other: Moving, areGradients: boolean): boolean {
  const mine = sourcesOf(sequence, one, areGradients);
  for (const source of sourcesOf(sequence, other, areGradients)) if (mine.has(source)) return true;
  const readers = (node: Moving) => node.run.outputs.flatMap(({ storage }) => sequence.readersOf(storage));
  const readOther = new Set(readers(other).filter(({ run }) => sumsOf(run) !== undefined));
  return readers(one).some((reader) => readOther.has(reader));
}

/**
 * The values of the step that a run reads, as the runs that made them. Of gradients also what those runs read: the gradient of a factor A
 * goes with that of its B, from whose input it comes. Parameters do not count: other layers may share them.
 */
function sourcesOf(sequence: Sequence, { run }: Moving, areGradients: boolean): Set<Moving | Storage> {
  const sources = new Set<Moving | Storage>();
  for (const { storage } of run.inputs) {
    if (!(storage instanceof TracedStorage)) continue;
    const producer = sequence.producerOf(storage);
    sources.add(producer ?? storage);
    if (areGradients && producer !== undefined && sumsOf(producer.run) !== undefined)
      for (const source of sourcesOf(sequence, producer, false)) sources.add(source);
  }
  return sources;
}
