import { arrayOf, type DType, type TypedArray } from "../../dtype.ts";

/** Smaller arrays are cheap to make: they share pages that are already there. */
const SMALLEST = 4096;

/**
 * Arrays that were freed, for the next one of the same type and size. The first write to fresh memory costs a page
 * fault for each 4 KiB, which is more than an elementwise op on it; a training step asks for the same sizes again and again.
 */
export class ArrayPool {
  readonly #free = new Map<string, TypedArray[]>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** A zeroed array. */
  take(dtype: DType, size: number): TypedArray {
    const list = this.#free.get(keyOf(dtype, size));
    const values = list?.pop();
    if (values === undefined) return arrayOf(dtype, size);
    this.#bytes -= values.byteLength;
    return values.fill(0);
  }

  /** Nobody else may hold `values`. */
  give(dtype: DType, values: TypedArray): void {
    if (values.byteLength < SMALLEST) return;
    const key = keyOf(dtype, values.length);
    const list = this.#free.get(key);
    if (list === undefined) this.#free.set(key, [values]);
    else {
      // The size that was freed last is the last to be dropped.
      list.push(values);
      this.#free.delete(key);
      this.#free.set(key, list);
    }
    this.#bytes += values.byteLength;
  }

  /** Drops arrays until at most `bytes` are held. */
  shrink(bytes: number): void {
    for (const [key, list] of this.#free) {
      while (this.#bytes > bytes) {
        const values = list.pop();
        if (values === undefined) break;
        this.#bytes -= values.byteLength;
      }
      if (list.length > 0) return;
      this.#free.delete(key);
    }
  }
}

function keyOf(dtype: DType, size: number): string {
  return `${dtype} ${size}`;
}
