/** A deterministic source of numbers in [0, 1). */
export type Random = () => number;

/** One round of the splitmix32 finaliser: a bijection of 32-bit integers. */
function mix(x: number): number {
  let z = x | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

/**
 * A splitmix32 generator: the same seed and stream give the same numbers on every machine.
 * @param seed - any whole number from 0 to 2^53 − 1
 * @param stream - tells apart uses of one seed, for example the number of the epoch
 */
export function createRandom(seed: number, stream = 0): Random {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  let state = mix(mix(mix(low) + high) + stream);
  const next = () => {
    state = (state + 0x9e3779b9) | 0; // 2^32 divided by the golden ratio
    return mix(state);
  };
  // 53 random bits, as Math.random has.
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

/** The numbers 0 … count−1 in an order drawn from `random` (Fisher and Yates). */
export function permutation(count: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}
