import { type Shape, sizeOf } from "../shape.ts";
import type { SampleInput } from "./cases.ts";

/** Numbers in [0, 1) from a seed (mulberry32): samples shrink by their shape, so their values need no arbitrary of their own. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * - "normal": bell-shaped around 0, nearly all within ±3
 * - "halves": −2, −1.5 … 2, so that ties, zeros and exact results are common
 * - "wide": both signs, 2⁻¹⁰ … 2¹⁰ in magnitude
 * - "positive": 0.25 … 4
 * - "apart": no two values of a sample (nor any value and 0) closer than 1/64, for kinks and ties; `lane` tells its inputs apart
 */
export type ValueKind = "normal" | "halves" | "wide" | "positive" | "apart";

/** `size` values of a kind. */
export function valuesOf(kind: ValueKind, seed: number, size: number, lane = 0): number[] {
  const random = randomOf(seed + lane * 7919);
  switch (kind) {
    case "normal":
      return Array.from({ length: size }, () => Math.fround((random() + random() + random() - 1.5) * 2));
    case "halves":
      return Array.from({ length: size }, () => (Math.floor(random() * 9) - 4) / 2);
    case "wide":
      return Array.from({ length: size }, () =>
        Math.fround((random() < 0.5 ? -1 : 1) * 2 ** (random() * 20 - 10)),
      );
    case "positive":
      return Array.from({ length: size }, () => Math.fround(2 ** (random() * 4 - 2)));
    case "apart": {
      const places = shuffled(size, random);
      return places.map((place) => (place - Math.floor(size / 2)) / 16 + (2 * lane + 1) / 128);
    }
  }
}

/** 0 … size − 1 in another order. */
export function shuffled(size: number, random: () => number): number[] {
  const list = Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** An input of a sample with values of a kind; `lane` is its number among the inputs. */
export function inputOf(
  shape: Shape,
  seed: number,
  { kind = "normal", lane = 0, ...rest }: { kind?: ValueKind; lane?: number } & Partial<SampleInput> = {},
): SampleInput {
  return { shape, values: valuesOf(kind, seed, sizeOf(shape), lane), ...rest };
}
