import {
  add,
  addVectors,
  advance,
  type Code,
  type FunctionBody,
  get,
  int,
  loadSplat,
  loadVector,
  loop,
  mul,
  mulVectors,
  set,
  shuffle,
  storeVector,
  zeroVector,
} from "./encoder.ts";

/** Rows and columns of y that stay in registers: 8 sums, 2 vectors of b, a factor of a. Larger tiles spill in V8. */
export const ROWS = 4;
export const COLUMNS = 8;

/**
 * `tiles(a, b, y, k, rowPanels, columnPanels, pitch)`: y += a · b on packed operands. a is panels of 4 rows, `[k][4]`
 * each; b is panels of 8 columns, `[k][8]` each; rows of y are `pitch` bytes apart. b's panel stays in the first cache
 * while all panels of a pass by. One step of k in each turn of the loop: two or four are slower.
 */
export function tilesKernel(): FunctionBody {
  const vectors = COLUMNS / 4;
  const [a, b, y, k, rowPanels, columnPanels, pitch, pa, pb, py, end, i, j, row, factor] = range(15);
  const column = (c: number) => factor + 1 + c;
  const sum = (r: number, c: number) => factor + 1 + vectors + r * vectors + c;

  const rowsOfTile = (body: (r: number) => Code) => [
    ...set(row, get(py)),
    ...range(ROWS).flatMap((r) => [...body(r), ...advance(row, get(pitch))]),
  ];
  const step = [
    ...range(vectors).flatMap((c) => set(column(c), loadVector(get(pb), c * 16))),
    ...range(ROWS).flatMap((r) => [
      ...set(factor, loadSplat(get(pa), r * 4)),
      ...range(vectors).flatMap((c) =>
        set(sum(r, c), addVectors(get(sum(r, c)), mulVectors(get(factor), get(column(c))))),
      ),
    ]),
    ...advance(pb, int(4 * COLUMNS)),
  ];
  const tile = [
    ...rowsOfTile((r) => range(vectors).flatMap((c) => set(sum(r, c), loadVector(get(row), c * 16)))),
    ...set(end, add(get(pa), mul(get(k), int(4 * ROWS)))),
    ...set(pb, get(b)),
    ...loop(pa, int(4 * ROWS), get(end), step),
    ...rowsOfTile((r) => range(vectors).flatMap((c) => storeVector(get(row), get(sum(r, c)), c * 16))),
    ...set(py, get(row)),
  ];
  return {
    name: "tiles",
    params: 7,
    ints: 7,
    vectors: 1 + vectors + ROWS * vectors,
    code: [
      ...set(j, int(0)),
      ...loop(j, int(1), get(columnPanels), [
        ...set(pa, get(a)),
        ...set(py, get(y)),
        ...set(i, int(0)),
        ...loop(i, int(1), get(rowPanels), tile),
        ...advance(b, mul(get(k), int(4 * COLUMNS))),
        ...advance(y, int(4 * COLUMNS)),
      ]),
    ],
  };
}

/**
 * `dots(a, b, y, bytes, groups)`: y[j] = Σ a · (row j of b), for groups of 4 rows of b that are `bytes` long, a multiple of
 * 16, and follow each other. Four partial sums along the row. For products of few rows, where packing costs more than it saves.
 */
export function dotsKernel(): FunctionBody {
  const [a, b, y, bytes, groups, group, pa, pb, end, part] = range(10);
  const sum = (r: number) => part + 1 + r;
  const pairs = (v: number, w: number): Code =>
    addVectors(shuffle(get(v), get(w), [0, 4, 1, 5]), shuffle(get(v), get(w), [2, 6, 3, 7]));
  const place = (r: number): Code => (r === 0 ? get(pb) : add(place(r - 1), get(bytes)));
  return {
    name: "dots",
    params: 5,
    ints: 4,
    vectors: 5,
    code: [
      ...set(group, int(0)),
      ...loop(group, int(1), get(groups), [
        ...set(pa, get(a)),
        ...set(end, add(get(a), get(bytes))),
        ...set(pb, get(b)),
        ...range(4).flatMap((r) => set(sum(r), zeroVector)),
        ...loop(pa, int(16), get(end), [
          ...set(part, loadVector(get(pa))),
          ...range(4).flatMap((r) =>
            set(sum(r), addVectors(get(sum(r)), mulVectors(get(part), loadVector(place(r))))),
          ),
          ...advance(pb, int(16)),
        ]),
        // The four sums of each row are added as a tree, which also brings the rows into one vector.
        ...set(part, pairs(sum(0), sum(1))),
        ...set(sum(0), pairs(sum(2), sum(3))),
        ...storeVector(
          get(y),
          addVectors(
            shuffle(get(part), get(sum(0)), [0, 1, 4, 5]),
            shuffle(get(part), get(sum(0)), [2, 3, 6, 7]),
          ),
        ),
        ...advance(y, int(16)),
        ...advance(b, mul(get(bytes), int(4))),
      ]),
    ],
  };
}

/**
 * `pack(from, to, depth, panels, pitch, panelBytes)` where a panel's `width` values lie side by side: reads `depth` rows
 * that are `pitch` bytes apart and writes panels `[depth][width]`, `panelBytes` apart. Reads beyond the edge of the last
 * panel; what it finds there goes into values that are never copied out.
 */
export function packRowsKernel(name: string, width: number): FunctionBody {
  const [from, to, depth, panels, pitch, panelBytes, p, d, source, target] = range(10);
  return {
    name,
    params: 6,
    ints: 4,
    vectors: 0,
    code: [
      ...set(p, int(0)),
      ...loop(p, int(1), get(panels), [
        ...set(source, get(from)),
        ...set(target, get(to)),
        ...set(d, int(0)),
        ...loop(d, int(1), get(depth), [
          ...range(width / 4).flatMap((v) =>
            storeVector(get(target), loadVector(get(source), v * 16), v * 16),
          ),
          ...advance(source, get(pitch)),
          ...advance(target, int(4 * width)),
        ]),
        ...advance(from, int(4 * width)),
        ...advance(to, get(panelBytes)),
      ]),
    ],
  };
}

/**
 * The same where depth lies side by side and a panel's values are `pitch` bytes apart: blocks of 4 × 4 are transposed.
 * Where depth is no multiple of 4 it writes up to three rows more than the panel has, into the next panel, which is
 * written after it.
 */
export function packColumnsKernel(name: string, width: number): FunctionBody {
  const [from, to, depth, panels, pitch, panelBytes, p, d, source, target, corner, part] = range(12);
  const v = (n: number) => 12 + n;
  const pairs = (a: number, b: number, lanes: readonly number[]) => shuffle(get(v(a)), get(v(b)), lanes);
  const low = [0, 4, 1, 5];
  const high = [2, 6, 3, 7];
  const block = [
    ...set(corner, get(source)),
    ...range(4).flatMap((r) => [...set(v(r), loadVector(get(corner))), ...advance(corner, get(pitch))]),
    ...set(v(4), pairs(0, 1, low)),
    ...set(v(5), pairs(2, 3, low)),
    ...set(v(6), pairs(0, 1, high)),
    ...set(v(7), pairs(2, 3, high)),
    ...storeVector(get(target), pairs(4, 5, [0, 1, 4, 5])),
    ...storeVector(get(target), pairs(4, 5, [2, 3, 6, 7]), 4 * width),
    ...storeVector(get(target), pairs(6, 7, [0, 1, 4, 5]), 8 * width),
    ...storeVector(get(target), pairs(6, 7, [2, 3, 6, 7]), 12 * width),
    ...advance(source, int(16)),
    ...advance(target, int(16 * width)),
  ];
  return {
    name,
    params: 6,
    ints: 6,
    vectors: 8,
    code: [
      ...set(p, int(0)),
      ...loop(p, int(1), get(panels), [
        ...set(part, int(0)),
        ...loop(part, int(16), int(4 * width), [
          ...set(source, get(from)),
          ...set(target, add(get(to), get(part))),
          ...set(d, int(0)),
          ...loop(d, int(4), get(depth), block),
          ...advance(from, mul(get(pitch), int(4))),
        ]),
        ...advance(to, get(panelBytes)),
      ]),
    ],
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
