import type { Param } from "../ops/kernel.ts";
import { type Key, rotations } from "./threefry.ts";

const ADDED = 0x1bd11bda;

/**
 * Value i of a stream is the exclusive or of both words of threefry(key, i), where i is the 64-bit number of the
 * element. That is JAX's "partitionable" layout, its default: a value depends on its place alone and not on how many are
 * drawn, so each GPU invocation makes its own, and a longer draw begins with the shorter one.
 * The rounds of `threefry` are written out here: in a loop they take three times as long.
 */
export function fillBits([first, second]: Key, out: Uint32Array): void {
  const k0 = first | 0;
  const k1 = second | 0;
  const k2 = k0 ^ k1 ^ ADDED;
  for (let i = 0; i < out.length; i++) {
    let x0 = (Math.floor(i / 2 ** 32) + k0) | 0;
    let x1 = (i + k1) | 0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
    x0 = (x0 + k1) | 0;
    x1 = (x1 + k2 + 1) | 0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
    x0 = (x0 + k2) | 0;
    x1 = (x1 + k0 + 2) | 0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
    x0 = (x0 + k0) | 0;
    x1 = (x1 + k1 + 3) | 0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
    x0 = (x0 + k1) | 0;
    x1 = (x1 + k2 + 4) | 0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
    x0 = (x0 + k2) | 0;
    x1 = (x1 + k0 + 5) | 0;
    out[i] = x0 ^ x1;
  }
}

/** 32 bits as a number in [0, 1): the upper 23 of them, in steps of 2⁻²³, as JAX makes it. */
export function unitOf(bits: number): number {
  return (bits >>> 9) * 2 ** -23;
}

/** `unitOf(bits) < p`, with `p` in f32, is `bits >>> 9 < unitLimit(p)`. */
export function unitLimit(p: number): number {
  return Math.ceil(Math.fround(p) * 2 ** 23);
}

/** Params of a kernel that calls `random_bits`. A compiled step changes the words of the key from step to step. */
export function keyParams(key: Key): readonly Param[] {
  return [
    ["k0", "u32", () => key[0]],
    ["k1", "u32", () => key[1]],
  ];
}

/** WGSL `random_bits(i)` and `random_unit(i)`, the same as `fillBits` and `unitOf`. A buffer has fewer than 2³² values. */
export function streamFunctions(): string {
  const rounds = Array.from({ length: 5 }, (_, block) =>
    [
      ...rotations[block % 2].map(
        (r) => `x += vec2u(x.y, 0u); x.y = ((x.y << ${r}u) | (x.y >> ${32 - r}u)) ^ x.x;`,
      ),
      `x += vec2u(k${(block + 1) % 3}, k${(block + 2) % 3} + ${block + 1}u);`,
    ].join("\n  "),
  );
  return `fn random_bits(i: u32) -> u32 {
  let k0 = P.k0;
  let k1 = P.k1;
  let k2 = k0 ^ k1 ^ ${ADDED}u;
  var x = vec2u(k0, i + k1);
  ${rounds.join("\n  ")}
  return x.x ^ x.y;
}
fn random_unit(i: u32) -> f32 { return f32(random_bits(i) >> 9u) * 1.1920928955078125e-7f; }`;
}
