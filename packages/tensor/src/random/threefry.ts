import { changesNothing, everyStep, isLive } from "../compile/live.ts";

/** A key of the counter-based generator: two 32-bit words, as JAX's raw keys. */
export type Key = readonly [number, number];

export const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

/**
 * Threefry-2x32 with 20 rounds: 64 bits of key and 64 bits of counter give 64 bits.
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; bit-equal to JAX's threefry2x32
 */
export function threefry([k0, k1]: Key, c0: number, c1: number): Key {
  const keys = [k0, k1, k0 ^ k1 ^ 0x1bd11bda];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let block = 0; block < 5; block++) {
    for (const r of rotations[block % 2]) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    }
    x0 = (x0 + keys[(block + 1) % 3]) | 0;
    x1 = (x1 + keys[(block + 2) % 3] + block + 1) | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
}

/** The key of a seed: a whole number from 0 to 2^53 − 1, split into its high and low words as JAX does. */
export function keyOf(seed: number): Key {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError(`random key: the seed must be a whole number from 0 to 2^53 - 1, got ${seed}.`);
  return [Math.floor(seed / 2 ** 32), seed >>> 0];
}

/** A new key from a key and a number, as `jax.random.fold_in`. */
export function foldIn(key: Key, data: number): Key {
  const [high, low] = keyOf(data);
  const fold = () => threefry(key, high, low);
  return isLive(key) ? everyStep(fold, changesNothing) : fold();
}
