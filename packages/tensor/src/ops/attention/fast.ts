import { exponentials } from "../../device/cpu/wasm/exponentials.ts";
import { type Matrix, multiply } from "../../device/cpu/wasm/matmul.ts";
import type { CpuArray } from "../op.ts";
import type { AttentionAttrs, AttentionPlan, Strides } from "./plan.ts";
import { attentionGradientReference, attentionReference, NOTHING } from "./reference.ts";

/** Rows that are multiplied with the keys at once: enough that packing the keys costs little. */
const ROWS = 192;
/** Queries of a block, for all heads of a group: few, so that little is computed of what causality hides. */
const MOST_QUERIES = 64;

/**
 * The queries of a block and all heads that share one key head, as dense matrices of group · count rows; the keys that any of
 * them sees are lo … hi − 1.
 */
interface Block {
  readonly batch: number;
  readonly kvHead: number;
  readonly query: number;
  readonly count: number;
  readonly rows: number;
  readonly lo: number;
  readonly hi: number;
}

function forEachBlock(plan: AttentionPlan, { keys }: AttentionAttrs, each: (block: Block) => void): void {
  const { batch, kvHeads, group, queries, ahead, behind } = plan;
  const most = Math.max(1, Math.min(MOST_QUERIES, Math.ceil(ROWS / group)));
  for (let b = 0; b < batch; b++) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      for (let query = 0; query < queries; query += most) {
        const count = Math.min(most, queries - query);
        const position = query + keys - queries;
        const lo = Math.max(0, position - behind);
        const hi = Math.max(lo, Math.min(keys, position + count + ahead));
        each({ batch: b, kvHead, query, count, rows: group * count, lo, hi });
      }
    }
  }
}

/** Scratch rows of a block, as large as the largest. */
const matrix = (values: Float32Array, columns: number): Matrix => ({
  values,
  start: 0,
  row: columns,
  column: 1,
});
const transposed = (values: Float32Array, columns: number): Matrix => ({
  values,
  start: 0,
  row: 1,
  column: columns,
});

/** The lines lo … of a key head, as a matrix of one line a row. */
function lines(x: Float32Array, strides: Strides, { batch, kvHead, lo }: Block): Matrix {
  const start = batch * strides.batch + kvHead * strides.head + lo * strides.row;
  return { values: x, start, row: strides.row, column: 1 };
}

const flip = ({ values, start, row, column }: Matrix): Matrix => ({
  values,
  start,
  row: column,
  column: row,
});

/** Calls `each` with where row r of the block begins in a tensor of queries. */
function forRows(
  plan: AttentionPlan,
  strides: Strides,
  block: Block,
  each: (at: number, r: number) => void,
): void {
  for (let r = 0; r < block.rows; r++) {
    const head = block.kvHead * plan.group + Math.floor(r / block.count);
    each(
      block.batch * strides.batch + head * strides.head + (block.query + (r % block.count)) * strides.row,
      r,
    );
  }
}

/** Copies the block's rows into a dense matrix. */
function gather(
  plan: AttentionPlan,
  strides: Strides,
  block: Block,
  x: Float32Array,
  dim: number,
  to: Float32Array,
): void {
  forRows(plan, strides, block, (at, r) => copyLine(x, at, to, r * dim, dim));
}

/** The other way round. */
function scatter(
  plan: AttentionPlan,
  strides: Strides,
  block: Block,
  rows: Float32Array,
  dim: number,
  to: Float32Array,
): void {
  forRows(plan, strides, block, (at, r) => copyLine(rows, r * dim, to, at, dim));
}

function copyLine(from: Float32Array, at: number, to: Float32Array, start: number, n: number): void {
  for (let d = 0; d < n; d++) to[start + d] = from[at + d];
}

/** Which of the keys lo … hi − 1 a row sees: a range, and in it those of its segment. */
function seenBy(
  plan: AttentionPlan,
  { keys }: AttentionAttrs,
  block: Block,
  r: number,
): readonly [number, number, number] {
  const position = block.query + (r % block.count) + keys - plan.queries;
  const first = Math.min(block.hi, Math.max(block.lo, position - plan.behind));
  const end = Math.max(first, Math.min(block.hi, position + plan.ahead + 1));
  return [first - block.lo, end - block.lo, position];
}

/** e^LEAST is 0 in f32, and the exponentials take it. */
const LEAST = -700;

/** Writes LEAST over the exponents of keys that are of another segment than the query. */
function hide(
  exponents: Float64Array,
  segments: CpuArray,
  query: number,
  firstKey: number,
  count: number,
): void {
  const own = segments.data[query];
  for (let j = 0; j < count; j++) if (segments.data[firstKey + j] !== own) exponents[j] = LEAST;
}

/** exponents[j] = scale · scores[at + j]; the largest of them that `segments` leave. */
function scaled(
  exponents: Float64Array,
  scores: Float32Array,
  at: number,
  count: number,
  scale: number,
): number {
  let top = -Infinity;
  for (let j = 0; j < count; j++) {
    const score = scores[at + j] * scale;
    exponents[j] = score;
    if (score > top) top = score;
  }
  return top;
}

const isF32 = (arrays: readonly CpuArray[]): boolean =>
  arrays.every(({ data }) => data instanceof Float32Array);
const valuesOf = (arrays: readonly CpuArray[]): readonly Float32Array[] =>
  arrays.map(({ data }) => data as Float32Array); // isF32 was asked

// Kept from call to call, at most as large as the largest block was.
const kept: Float32Array[] = [];
let keptExponents = new Float64Array(0);

function scratch(slot: number, size: number): Float32Array {
  if ((kept[slot]?.length ?? -1) < size) kept[slot] = new Float32Array(size);
  return kept[slot];
}

function exponentsFor(keys: number): Float64Array {
  if (keptExponents.length < keys) keptExponents = new Float64Array(keys);
  return keptExponents;
}

/** Products by WebAssembly over blocks of queries; only the scores of one block exist at a time. */
export function attentionFast(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  inputs: readonly CpuArray[],
  outputs: readonly CpuArray[],
): void {
  if (!isF32([...inputs.slice(0, 3), ...outputs])) {
    attentionReference(plan, attrs, inputs, outputs);
    return;
  }
  const [q, k, v] = valuesOf(inputs.slice(0, 3));
  const segments: CpuArray | undefined = inputs[3];
  const [y, lse] = valuesOf(outputs);
  const { headDim, valueDim, capacity } = plan;
  const { scale } = attrs;
  const room = roomOf(plan, attrs);
  const qRows = scratch(0, room.rows * headDim);
  const yRows = scratch(1, room.rows * valueDim);
  const scores = scratch(2, room.scores);
  const exps = exponentsFor(capacity);
  forEachBlock(plan, attrs, (block) => {
    const { rows, lo, hi } = block;
    const n = hi - lo;
    if (n > 0) {
      gather(plan, plan.q, block, q, headDim, qRows);
      product(matrix(qRows, headDim), flip(lines(k, plan.k, block)), scores, rows, n, headDim);
    }
    forRows(plan, { batch: plan.heads * plan.queries, head: plan.queries, row: 1 }, block, (line, r) => {
      const [first, end, position] = seenBy(plan, attrs, block, r);
      const at = r * n;
      const count = end - first;
      let top = scaled(exps, scores, at + first, count, scale);
      if (segments !== undefined) {
        const own = block.batch * capacity;
        hide(exps, segments, own + position, own + lo + first, count);
        top = exps.subarray(0, count).reduce((a, b) => Math.max(a, b), LEAST);
      }
      for (let j = 0; j < count; j++) exps[j] = Math.max(LEAST, exps[j] - top);
      exponentials(exps, count);
      let total = 0;
      for (let j = 0; j < count; j++) total += exps[j];
      const share = 1 / total;
      scores.fill(0, at, at + first);
      for (let j = 0; j < count; j++) scores[at + first + j] = exps[j] * share;
      scores.fill(0, at + end, at + n);
      lse[line] = count === 0 ? NOTHING : top + Math.log(total);
    });
    if (n > 0) product(matrix(scores, n), lines(v, plan.v, block), yRows, rows, valueDim, n);
    else yRows.fill(0);
    scatter(plan, plan.y, block, yRows, valueDim, y);
  });
}

/** As the reference, block by block. */
export function attentionGradientFast(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  inputs: readonly CpuArray[],
  saved: { readonly y: CpuArray; readonly lse: CpuArray; readonly dy: CpuArray },
  outputs: readonly CpuArray[],
): void {
  const given = [saved.y, saved.lse, saved.dy];
  if (!isF32([...inputs.slice(0, 3), ...given, ...outputs])) {
    attentionGradientReference(plan, attrs, inputs, saved, outputs);
    return;
  }
  const [q, k, v] = valuesOf(inputs.slice(0, 3));
  const segments: CpuArray | undefined = inputs[3];
  const [y, lse, dy] = valuesOf(given);
  const [dq, dk, dv] = valuesOf(outputs);
  const { headDim, valueDim, capacity, heads, queries, group } = plan;
  const { scale } = attrs;
  const room = roomOf(plan, attrs);
  const qRows = scratch(0, room.rows * headDim);
  const dyRows = scratch(1, room.rows * valueDim);
  const p = scratch(2, room.scores);
  const t = scratch(3, room.scores);
  const dqRows = scratch(4, room.rows * headDim);
  const share = scratch(5, capacity * Math.max(headDim, valueDim));
  const exps = exponentsFor(capacity);
  dk.fill(0);
  dv.fill(0);
  forEachBlock(plan, attrs, (block) => {
    const { rows, lo, hi } = block;
    const n = hi - lo;
    if (n === 0) {
      scatter(plan, plan.q, block, dqRows.fill(0), headDim, dq);
      return;
    }
    gather(plan, plan.q, block, q, headDim, qRows);
    gather(plan, plan.y, block, dy, valueDim, dyRows);
    product(matrix(qRows, headDim), flip(lines(k, plan.k, block)), p, rows, n, headDim);
    product(matrix(dyRows, valueDim), flip(lines(v, plan.v, block)), t, rows, n, valueDim);
    forRows(plan, plan.y, block, (yAt, r) => {
      const [first, end, position] = seenBy(plan, attrs, block, r);
      const head = block.kvHead * group + Math.floor(r / block.count);
      const shift = lse[(block.batch * heads + head) * queries + block.query + (r % block.count)];
      const at = r * n;
      const count = end - first;
      let delta = 0;
      for (let d = 0; d < valueDim; d++) delta += dy[yAt + d] * y[yAt + d];
      for (let j = 0; j < count; j++) exps[j] = Math.max(LEAST, p[at + first + j] * scale - shift);
      if (segments !== undefined) {
        const own = block.batch * capacity;
        hide(exps, segments, own + position, own + lo + first, count);
      }
      exponentials(exps, count);
      p.fill(0, at, at + first);
      t.fill(0, at, at + first);
      for (let j = 0; j < count; j++) {
        const weight = exps[j];
        p[at + first + j] = weight;
        t[at + first + j] = scale * weight * (t[at + first + j] - delta);
      }
      p.fill(0, at + end, at + n);
      t.fill(0, at + end, at + n);
    });
    product(matrix(t, n), lines(k, plan.k, block), dqRows, rows, headDim, n);
    scatter(plan, plan.q, block, dqRows, headDim, dq);
    product(transposed(t, n), matrix(qRows, headDim), share, n, headDim, rows);
    addLines(share, lines(dk, plan.k, block), n, headDim);
    product(transposed(p, n), matrix(dyRows, valueDim), share, n, valueDim, rows);
    addLines(share, lines(dv, plan.v, block), n, valueDim);
  });
}

function addLines(from: Float32Array, { values, start, row }: Matrix, count: number, dim: number): void {
  for (let j = 0; j < count; j++) {
    const at = start + j * row;
    for (let d = 0; d < dim; d++) values[at + d] += from[j * dim + d];
  }
}

function product(a: Matrix, b: Matrix, y: Float32Array, m: number, n: number, k: number): void {
  if (k === 0) y.fill(0, 0, m * n);
  else if (m > 0 && n > 0) multiply(a, b, y, 0, m, n, k);
}

/** Rows and scores of the largest block. */
function roomOf(plan: AttentionPlan, attrs: AttentionAttrs): { rows: number; scores: number } {
  let rows = 0;
  let scores = 0;
  forEachBlock(plan, attrs, (block) => {
    rows = Math.max(rows, block.rows);
    scores = Math.max(scores, block.rows * (block.hi - block.lo));
  });
  return { rows, scores };
}
