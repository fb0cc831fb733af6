import { type Shape, show } from "../shape.ts";

/** Half the distance of neighbouring f32 numbers, relative: the error of one rounding. */
export const HALF_ULP = 2 ** -24;
/** Below the smallest normal f32 a device may flush to zero, also in the middle of a kernel. */
export const FLOOR = 2 ** -124;
const LARGEST = 3.4028234663852886e38;

/** What is allowed to differ: `budget(i)` in the unit of the values. */
export interface Comparison {
  readonly label: string;
  readonly shape: Shape;
  readonly got: ArrayLike<number>;
  readonly want: ArrayLike<number>;
  readonly budget: (i: number) => number;
  /** False for WGSL, which may assume that nothing is infinite or NaN: such places are then passed over. Default true. */
  readonly strict?: boolean;
}

/** Throws where a value is beyond its budget, and says where, what came, what was expected and what was allowed. */
export function assertWithin({ label, shape, got, want, budget, strict = true }: Comparison): void {
  if (got.length !== want.length)
    throw new Error(`${label}: expected ${want.length} values for ${show(shape)}, got ${got.length}.`);
  let beyond = 0;
  let first = -1;
  for (let i = 0; i < want.length; i++) {
    if (within(got[i], want[i], budget(i), strict)) continue;
    if (beyond++ === 0) first = i;
  }
  if (beyond === 0) return;
  throw new Error(
    `${label}: at ${show(indexIn(first, shape))} of ${show(shape)} expected ${want[first]}, got ${got[first]}, ` +
      `off by ${Math.abs(got[first] - want[first])} where ${budget(first)} is allowed (${beyond} of ${want.length} values are beyond).`,
  );
}

function within(got: number, want: number, budget: number, strict: boolean): boolean {
  if (Number.isNaN(want) || Math.abs(want) > LARGEST) {
    if (!strict) return true;
    return Number.isNaN(want) ? Number.isNaN(got) : got === Math.sign(want) * Number.POSITIVE_INFINITY;
  }
  if (!Number.isFinite(budget)) return true;
  if (!Number.isFinite(got)) return !Number.isNaN(got) && Math.abs(want) + budget > LARGEST;
  return Math.abs(got - want) <= budget;
}

/** The place of value `i` along each axis. */
export function indexIn(i: number, shape: Shape): number[] {
  const index = new Array<number>(shape.length).fill(0);
  let rest = i;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  return index;
}
