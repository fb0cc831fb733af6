import { multiply } from "../../device/cpu/wasm/matmul.ts";
import type { TypedArray } from "../../dtype.ts";
import { type PackedLayout, packedCount } from "../../formats/packed/packed.ts";

/** Values that are decoded at once: 1 MB, so that a block stays in the second cache while rows of x go by. */
const BLOCK = 2 ** 18;

let decoded = new Float32Array(0);
let product = new Float32Array(0);

/** y = x · Wᵀ (`transpose`) or x · W over blocks of W's rows, with the WebAssembly product of each. */
export function packedFast(
  layout: PackedLayout,
  parts: readonly TypedArray[],
  x: Float32Array,
  y: Float32Array,
  m: number,
  transpose: boolean,
): void {
  const [rows, columns] = layout.shape;
  const most = Math.max(1, Math.min(rows, Math.floor(BLOCK / columns)));
  decoded = roomFor(decoded, most * columns);
  product = roomFor(product, m * (transpose ? most : columns));
  if (!transpose) y.fill(0, 0, m * columns);
  for (let start = 0; start < rows; start += most) {
    const count = Math.min(most, rows - start);
    layout.format.decode(layout, parts, start * columns, (start + count) * columns, decoded);
    if (m === 0) continue;
    if (transpose) {
      const weights = { values: decoded, start: 0, row: 1, column: columns };
      multiply({ values: x, start: 0, row: columns, column: 1 }, weights, product, 0, m, count, columns);
      for (let i = 0; i < m; i++) y.set(product.subarray(i * count, (i + 1) * count), i * rows + start);
    } else {
      const weights = { values: decoded, start: 0, row: columns, column: 1 };
      multiply({ values: x, start, row: rows, column: 1 }, weights, product, 0, m, columns, count);
      for (let i = 0; i < m * columns; i++) y[i] += product[i];
    }
  }
}

/** The same with float64 sums, row by row of W. */
export function packedReference(
  layout: PackedLayout,
  parts: readonly TypedArray[],
  x: TypedArray,
  y: TypedArray,
  m: number,
  transpose: boolean,
): void {
  const [rows, columns] = layout.shape;
  const row = new Float32Array(columns);
  const sums = new Float64Array(transpose ? 0 : m * columns);
  for (let n = 0; n < rows; n++) {
    layout.format.decode(layout, parts, n * columns, (n + 1) * columns, row);
    for (let i = 0; i < m; i++) {
      if (transpose) {
        let sum = 0;
        for (let k = 0; k < columns; k++) sum += x[i * columns + k] * row[k];
        y[i * rows + n] = sum;
      } else {
        const factor = x[i * rows + n];
        for (let k = 0; k < columns; k++) sums[i * columns + k] += factor * row[k];
      }
    }
  }
  if (!transpose) y.set(sums);
}

/** All values, row after row. */
export function unpackAll(layout: PackedLayout, parts: readonly TypedArray[], y: TypedArray): void {
  const count = packedCount(layout);
  if (y instanceof Float32Array) layout.format.decode(layout, parts, 0, count, y.subarray(0, count));
  else {
    const values = new Float32Array(count);
    layout.format.decode(layout, parts, 0, count, values);
    y.set(values);
  }
}

function roomFor(array: Float32Array<ArrayBuffer>, size: number): Float32Array<ArrayBuffer> {
  return array.length >= size ? array : new Float32Array(size);
}
