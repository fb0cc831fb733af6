import { float64Engine, SLOT } from "./float64.ts";

/** values[k] = e^values[k] for k in [0, n): faster than `Math.exp` by nearly half, the same to about 1e-14. */
export function exponentials(values: Float64Array, n: number): void {
  const { slots, steps, addressOf } = float64Engine();
  const [slot] = slots;
  const at = addressOf(0);
  for (let start = 0; start < n; start += SLOT) {
    const count = Math.min(SLOT, n - start);
    slot.set(values.subarray(start, start + count));
    steps.exp(at, at, at, at, 8 * count);
    values.set(count === SLOT ? slot : slot.subarray(0, count), start);
  }
}

/** The same with `Math.exp`, for reference kernels and float64 tensors. */
export function plainExponentials(values: Float64Array, n: number): void {
  for (let k = 0; k < n; k++) values[k] = Math.exp(values[k]);
}
