import { exponentials } from "../../device/cpu/wasm/exponentials.ts";
import { type Matrix, multiply } from "../../device/cpu/wasm/matmul.ts";
import type { CpuArray } from "../op.ts";
import type { AttentionAttrs, AttentionPlan, Strides } from "./plan.ts";
import { attentionGradientReference, attentionReference, NOTHING } from "./reference.ts";

/** Rows that are multiplied with the keys at once: enough that packing the keys costs little. */
const ROWS = 128;
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

/** Copies the block's rows, times `scale`, into a dense matrix. */
function gather(
  plan: AttentionPlan,
  strides: Strides,
  block: Block,
  x: Float32Array,
  dim: number,
  to: Float32Array,
  scale = 1,
): void {
  forRows(plan, strides, block, (at, r) => {
    const start = r * dim;
    for (let d = 0; d < dim; d++) to[start + d] = scale * x[at + d];
  });
}

/** The other way round. */
function scatter(
  plan: AttentionPlan,
  strides: Strides,
  block: Block,
  rows: Float32Array,
  dim: number,
  to: Float32Array,
  scale = 1,
): void {
  forRows(plan, strides, block, (at, r) => {
    const start = r * dim;
    for (let d = 0; d < dim; d++) to[at + d] = scale * rows[start + d];
  });
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

/** Hides keys of other segments: their exponent becomes that of 0. */
function hide(
  exponents: Float64Array,
  segments: CpuArray | undefined,
  row: number,
  lo: number,
  position: number,
  first: number,
  end: number,
): void {
  if (segments === undefined) return;
  const { data } = segments;
  for (let j = first; j < end; j++)
    if (data[row + lo + j] !== data[row + position]) exponents[j - first] = -Infinity;
}

type Arrays = readonly Float32Array[];

const isF32 = (arrays: readonly CpuArray[]): boolean =>
  arrays.every(({ data }) => data instanceof Float32Array);
const valuesOf = (arrays: readonly CpuArray[]): Arrays => arrays.map((array) => array.data as Float32Array); // isF32 was asked

/** Products by WebAssembly over blocks of queries; only the scores of one block exist at a time. */
export function attentionFast(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  inputs: readonly CpuArray[],
  outputs: readonly CpuArray[],
): void {
  const segments = inputs[3] as CpuArray | undefined;
  if (!isF32([...inputs.slice(0, 3), ...outputs])) {
    attentionReference(plan, attrs, inputs, outputs);
    return;
  }
  const [q, k, v] = valuesOf(inputs);
  const [y, lse] = valuesOf(outputs);
  const { headDim, valueDim } = plan;
  const room = roomOf(plan, attrs);
  const qRows = new Float32Array(room.rows * headDim);
  const yRows = new Float32Array(room.rows * valueDim);
  const scores = new Float32Array(room.scores);
  const exps = new Float64Array(plan.capacity);
  forEachBlock(plan, attrs, (block) => {
    const { rows, lo, hi } = block;
    const n = hi - lo;
    if (n > 0) {
      gather(plan, plan.q, block, q, headDim, qRows, attrs.scale);
      product(matrix(qRows, headDim), flip(lines(k, plan.k, block)), scores, rows, n, headDim);
    }
    forRows(plan, { batch: plan.heads * plan.queries, head: plan.queries, row: 1 }, block, (line, r) => {
      const [first, end, position] = seenBy(plan, attrs, block, r);
      const row = scores.subarray(r * n, (r + 1) * n);
      const count = end - first;
      for (let j = 0; j < count; j++) exps[j] = row[first + j];
      hide(exps, segments, block.batch * plan.capacity, lo, position, first, end);
      let top = -Infinity;
      for (let j = 0; j < count; j++) if (exps[j] > top) top = exps[j];
      for (let j = 0; j < count; j++) exps[j] -= top;
      if (segments !== undefined) for (let j = 0; j < count; j++) exps[j] = Math.max(exps[j], LEAST);
      exponentials(exps, count);
      let total = 0;
      for (let j = 0; j < count; j++) total += exps[j];
      row.fill(0);
      for (let j = 0; j < count; j++) row[first + j] = exps[j] / total;
      lse[line] = count === 0 ? NOTHING : top + Math.log(total);
    });
    if (n > 0) product(matrix(scores, n), lines(v, plan.v, block), yRows, rows, valueDim, n);
    else yRows.fill(0);
    scatter(plan, plan.y, block, yRows, valueDim, y);
  });
}

/** e^LEAST is 0 in f32, and the exponentials take it. */
const LEAST = -700;

/** As the reference, block by block. */
export function attentionGradientFast(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  inputs: readonly CpuArray[],
  saved: { readonly y: CpuArray; readonly lse: CpuArray; readonly dy: CpuArray },
  outputs: readonly CpuArray[],
): void {
  const segments = inputs[3] as CpuArray | undefined;
  const given = [saved.y, saved.lse, saved.dy];
  if (!isF32([...inputs.slice(0, 3), ...given, ...outputs])) {
    attentionGradientReference(plan, attrs, inputs, saved, outputs);
    return;
  }
  const [q, k, v] = valuesOf(inputs);
  const [y, lse, dy] = valuesOf(given);
  const [dq, dk, dv] = valuesOf(outputs);
  const { headDim, valueDim, capacity } = plan;
  const room = roomOf(plan, attrs);
  const qRows = new Float32Array(room.rows * headDim);
  const dqRows = new Float32Array(room.rows * headDim);
  const dyRows = new Float32Array(room.rows * valueDim);
  const p = new Float32Array(room.scores);
  const t = new Float32Array(room.scores);
  const share = new Float32Array(capacity * Math.max(headDim, valueDim));
  const exps = new Float64Array(capacity);
  dk.fill(0);
  dv.fill(0);
  forEachBlock(plan, attrs, (block) => {
    const { rows, lo, hi } = block;
    const n = hi - lo;
    if (n === 0) {
      scatter(plan, plan.q, block, dqRows.fill(0), headDim, dq);
      return;
    }
    gather(plan, plan.q, block, q, headDim, qRows, attrs.scale);
    gather(plan, plan.y, block, dy, valueDim, dyRows);
    product(matrix(qRows, headDim), flip(lines(k, plan.k, block)), p, rows, n, headDim);
    product(matrix(dyRows, valueDim), flip(lines(v, plan.v, block)), t, rows, n, valueDim);
    forRows(plan, plan.y, block, (at, r) => {
      const [first, end, position] = seenBy(plan, attrs, block, r);
      const head = block.kvHead * plan.group + Math.floor(r / block.count);
      const shift = lse[(block.batch * plan.heads + head) * plan.queries + block.query + (r % block.count)];
      const pRow = p.subarray(r * n, (r + 1) * n);
      const tRow = t.subarray(r * n, (r + 1) * n);
      const count = end - first;
      let delta = 0;
      for (let d = 0; d < valueDim; d++) delta += dy[at + d] * y[at + d];
      for (let j = 0; j < count; j++) exps[j] = pRow[first + j] - shift;
      hide(exps, segments, block.batch * capacity, lo, position, first, end);
      if (segments !== undefined) for (let j = 0; j < count; j++) exps[j] = Math.max(exps[j], LEAST);
      exponentials(exps, count);
      pRow.fill(0);
      for (let j = 0; j < count; j++) pRow[first + j] = exps[j];
      for (let j = 0; j < n; j++) tRow[j] = pRow[j] * (tRow[j] - delta);
    });
    product(matrix(t, n), lines(k, plan.k, block), dqRows, rows, headDim, n);
    scatter(plan, plan.q, block, dqRows, headDim, dq, attrs.scale);
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
