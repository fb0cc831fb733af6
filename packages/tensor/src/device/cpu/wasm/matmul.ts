import { encodeModule } from "./encoder.ts";
import { instantiate } from "./instantiate.ts";
import { COLUMNS, dotsKernel, packColumnsKernel, packRowsKernel, ROWS, tilesKernel } from "./kernels.ts";

/** A matrix inside an array: one of the two strides is 1. */
export interface Matrix {
  readonly values: Float32Array;
  readonly start: number;
  /** Elements from one row to the next, and from one column to the next. */
  readonly row: number;
  readonly column: number;
}

type Pack = (
  from: number,
  to: number,
  depth: number,
  panels: number,
  pitch: number,
  panelBytes: number,
) => void;

interface Kernels {
  tiles(
    a: number,
    b: number,
    y: number,
    k: number,
    rowPanels: number,
    columnPanels: number,
    pitch: number,
  ): void;
  dots(a: number, b: number, y: number, bytes: number, groups: number): void;
  packRows4: Pack;
  packRows8: Pack;
  packColumns4: Pack;
  packColumns8: Pack;
}

// The blocks, in floats. A panel of b, DEPTH × 8, fits in the first cache; the packed block of a in the second.
const DEPTH = 768;
const BLOCK_ROWS = 128;
const OUTER_ROWS = 1024;
const BLOCK_COLUMNS = 512;
/** Values that are copied in before they are packed. */
const STAGE = 32768;
/** Floats that a kernel may read or write beyond a block's end. */
const SLACK = 8 * BLOCK_COLUMNS;

// The memory's layout, in bytes.
const stageAt = 0;
const aAt = stageAt + 4 * (STAGE + 2 * SLACK + 16 * DEPTH);
const bAt = aAt + 4 * (BLOCK_ROWS * DEPTH + SLACK);
const yAt = bAt + 4 * (BLOCK_COLUMNS * DEPTH + SLACK);
const totalBytes = yAt + 4 * (OUTER_ROWS * BLOCK_COLUMNS + SLACK);

interface Engine {
  readonly kernels: Kernels;
  readonly memory: Float32Array;
}

let opened: Engine | undefined;

/** The module is compiled at the first product; about 1 KB, so that a browser's main thread may do it synchronously. */
function open(): Engine {
  const bytes = encodeModule([
    tilesKernel(),
    dotsKernel(),
    packRowsKernel("packRows4", ROWS),
    packRowsKernel("packRows8", COLUMNS),
    packColumnsKernel("packColumns4", ROWS),
    packColumnsKernel("packColumns8", COLUMNS),
  ]);
  const { exports, buffer } = instantiate(bytes, totalBytes);
  return { kernels: exports as Kernels, memory: new Float32Array(buffer) }; // encoded above under these names
}

/** Up to so many rows of a, b is read as it is. */
const THIN = 5;

/**
 * y = a · b in f32 with WebAssembly SIMD: a is m × k, b is k × n, y is written row by row from `yStart`. The order of
 * the sums depends on the sizes and layouts alone, and nothing is fused, so that every machine gives the same bits.
 */
export function multiply(
  a: Matrix,
  b: Matrix,
  y: Float32Array,
  yStart: number,
  m: number,
  n: number,
  k: number,
): void {
  opened ??= open();
  const engine = opened;
  if (m <= THIN && a.column === 1 && b.row === 1 && k % 4 === 0 && 4 * k <= STAGE) {
    multiplyThin(engine, a, b, y, yStart, m, n, k);
    return;
  }
  const { kernels, memory } = engine;
  const depth = evenly(k, DEPTH);
  for (let i0 = 0; i0 < m; i0 += OUTER_ROWS) {
    const outer = Math.min(OUTER_ROWS, m - i0);
    for (let j0 = 0; j0 < n; j0 += BLOCK_COLUMNS) {
      const columns = Math.min(BLOCK_COLUMNS, n - j0);
      const columnPanels = Math.ceil(columns / COLUMNS);
      const width = columnPanels * COLUMNS;
      memory.fill(0, yAt / 4, yAt / 4 + Math.ceil(outer / ROWS) * ROWS * width);
      for (let p0 = 0; p0 < k; p0 += depth) {
        const inner = Math.min(depth, k - p0);
        packB(engine, b, p0, j0, inner, columns);
        for (let i1 = 0; i1 < outer; i1 += BLOCK_ROWS) {
          const rows = Math.min(BLOCK_ROWS, outer - i1);
          packA(engine, a, i0 + i1, p0, rows, inner);
          kernels.tiles(
            aAt,
            bAt,
            yAt + 4 * i1 * width,
            inner,
            Math.ceil(rows / ROWS),
            columnPanels,
            4 * width,
          );
        }
      }
      copyOut(memory, yAt / 4, width, y, yStart + i0 * n + j0, n, outer, columns);
    }
  }
}

/** Few rows of a, k side by side in both: blocks of b's columns are copied in and multiplied as they are. */
function multiplyThin(
  { kernels, memory }: Engine,
  a: Matrix,
  b: Matrix,
  y: Float32Array,
  yStart: number,
  m: number,
  n: number,
  k: number,
): void {
  for (let i = 0; i < m; i++) {
    const from = a.start + i * a.row;
    memory.set(a.values.subarray(from, from + k), aAt / 4 + i * k);
  }
  const block = Math.floor(STAGE / k / 4) * 4;
  for (let j = 0; j < n; j += block) {
    const columns = Math.min(block, n - j);
    copyIn(memory, b.values, b.start + j * b.column, b.column, columns, k);
    for (let i = 0; i < m; i++) {
      kernels.dots(aAt + 4 * i * k, stageAt, yAt, 4 * k, Math.ceil(columns / 4));
      y.set(memory.subarray(yAt / 4, yAt / 4 + columns), yStart + i * n + j);
    }
  }
}

/** The block size at most `limit` that cuts `total` into blocks of nearly one size. */
function evenly(total: number, limit: number): number {
  return Math.ceil(total / Math.ceil(total / limit));
}

function packA(engine: Engine, a: Matrix, row: number, column: number, rows: number, depth: number): void {
  const at = a.start + row * a.row + column * a.column;
  const { packRows4, packColumns4 } = engine.kernels;
  if (a.column === 1) pack(engine.memory, packColumns4, ROWS, a.values, at, a.row, rows, depth, aAt);
  else packDeep(engine.memory, packRows4, ROWS, a.values, at, a.column, rows, depth, aAt);
}

function packB(engine: Engine, b: Matrix, row: number, column: number, depth: number, columns: number): void {
  const at = b.start + row * b.row + column * b.column;
  const { packRows8, packColumns8 } = engine.kernels;
  if (b.row === 1) pack(engine.memory, packColumns8, COLUMNS, b.values, at, b.column, columns, depth, bAt);
  else packDeep(engine.memory, packRows8, COLUMNS, b.values, at, b.row, columns, depth, bAt);
}

/** Packs `count` lines of `depth` values each, `pitch` apart, into panels of `width` lines. */
function pack(
  memory: Float32Array,
  kernel: Pack,
  width: number,
  values: Float32Array,
  at: number,
  pitch: number,
  count: number,
  depth: number,
  to: number,
): void {
  const panelBytes = 4 * width * depth;
  const linesAtOnce = Math.max(width, Math.floor(STAGE / depth / width) * width);
  for (let line = 0; line < count; line += linesAtOnce) {
    const lines = Math.min(linesAtOnce, count - line);
    copyIn(memory, values, at + line * pitch, pitch, lines, depth);
    kernel(stageAt, to + (line / width) * panelBytes, depth, Math.ceil(lines / width), 4 * depth, panelBytes);
  }
}

/** Packs `depth` lines of `count` values each, `pitch` apart: a panel takes `width` neighbours of every line. */
function packDeep(
  memory: Float32Array,
  kernel: Pack,
  width: number,
  values: Float32Array,
  at: number,
  pitch: number,
  count: number,
  depth: number,
  to: number,
): void {
  const panels = Math.ceil(count / width);
  const linesAtOnce = Math.max(1, Math.floor(STAGE / count));
  for (let line = 0; line < depth; line += linesAtOnce) {
    const lines = Math.min(linesAtOnce, depth - line);
    copyIn(memory, values, at + line * pitch, pitch, lines, count);
    kernel(stageAt, to + 4 * line * width, lines, panels, 4 * count, 4 * width * depth);
  }
}

/** Below this length a loop beats a call of `set`. */
const SHORT = 48;

function copyIn(
  memory: Float32Array,
  values: Float32Array,
  at: number,
  pitch: number,
  lines: number,
  length: number,
): void {
  if (pitch === length) {
    memory.set(values.subarray(at, at + lines * length), stageAt / 4);
    return;
  }
  for (let line = 0, to = stageAt / 4; line < lines; line++, to += length) {
    const from = at + line * pitch;
    if (length < SHORT) for (let i = 0; i < length; i++) memory[to + i] = values[from + i];
    else memory.set(values.subarray(from, from + length), to);
  }
}

function copyOut(
  memory: Float32Array,
  at: number,
  width: number,
  y: Float32Array,
  start: number,
  pitch: number,
  rows: number,
  columns: number,
): void {
  if (columns === width && columns === pitch) {
    y.set(memory.subarray(at, at + rows * columns), start);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const from = at + row * width;
    const to = start + row * pitch;
    if (columns < SHORT) for (let i = 0; i < columns; i++) y[to + i] = memory[from + i];
    else y.set(memory.subarray(from, from + columns), to);
  }
}
