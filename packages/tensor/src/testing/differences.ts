/** Step of central differences, relative to each value: truncation is about eps², rounding 2⁻⁵³/eps, both near 1e-10. */
export const STEP = 1e-6;

/**
 * ⟨gradient, v⟩ by central differences: (f(x + εv) − f(x − εv)) / 2ε.
 * @param f - a function of one list of values for each input, in float64
 */
export async function differenceAlong(
  f: (values: readonly Float64Array[]) => Promise<number>,
  at: readonly ArrayLike<number>[],
  direction: readonly ArrayLike<number>[],
  step = STEP,
): Promise<number> {
  const moved = (by: number): Float64Array[] =>
    at.map((values, k) => Float64Array.from(values, (value, i) => value + by * direction[k][i]));
  const [above, below] = await Promise.all([f(moved(step)), f(moved(-step))]);
  return (above - below) / (2 * step);
}

/** How far a value is moved: by its own size, so that small values keep their sign, but never by more than 1. */
export function reach(value: number): number {
  return value === 0 ? 1 : Math.min(1, Math.abs(value));
}
