/**
 * A small encoder of WebAssembly: as much of the binary format as f32 kernels with 128-bit vectors need. An expression is
 * the bytes that leave one value on the stack, a statement the bytes that leave none; both are made by nesting calls.
 */
export type Code = readonly number[];

/** The number of a local variable: the parameters first, then `Body.ints`, then `Body.vectors`. */
export type Local = number;

export interface FunctionBody {
  readonly name: string;
  /** All parameters are i32. */
  readonly params: number;
  /** Further i32 locals. */
  readonly ints: number;
  /** v128 locals. */
  readonly vectors: number;
  readonly code: Code;
}

const i32 = 0x7f;
const v128 = 0x7b;
const noResult = 0x40;

/** LEB128 of a number that is not negative. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest & 127;
    rest >>>= 7;
    bytes.push(rest === 0 ? byte : byte | 128);
  } while (rest !== 0);
  return bytes;
}

/** LEB128 of a signed 32-bit number. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const byte = rest & 127;
    rest >>= 7;
    const done = (rest === 0 && (byte & 64) === 0) || (rest === -1 && (byte & 64) !== 0);
    bytes.push(done ? byte : byte | 128);
    if (done) return bytes;
  }
}

const list = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()];
const section = (id: number, body: Code): number[] => [id, ...unsigned(body.length), ...body];
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
const text = (value: string): number[] => list([...value].map((c) => [c.charCodeAt(0)]));

export const int = (value: number): Code => [0x41, ...signed(value)];
export const get = (local: Local): Code => [0x20, ...unsigned(local)];
export const set = (local: Local, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const add = (a: Code, b: Code): Code => [...a, ...b, 0x6a];
export const mul = (a: Code, b: Code): Code => [...a, ...b, 0x6c];

/** `local += step` */
export const advance = (local: Local, step: Code): Code => set(local, add(get(local), step));

// Addresses are in bytes; `offset` is a constant on top. Alignment is a hint only, so it says one float everywhere.
export const loadVector = (address: Code, offset = 0): Code => [
  ...address,
  ...simd(0),
  2,
  ...unsigned(offset),
];
export const loadSplat = (address: Code, offset = 0): Code => [
  ...address,
  ...simd(9),
  2,
  ...unsigned(offset),
];
export const loadSplat64 = (address: Code, offset = 0): Code => [
  ...address,
  ...simd(10),
  3,
  ...unsigned(offset),
];
export const storeVector = (address: Code, value: Code, offset = 0): Code => [
  ...address,
  ...value,
  ...simd(11),
  2,
  ...unsigned(offset),
];

export const zeroVector: Code = [...simd(12), ...new Array<number>(16).fill(0)];
export const addVectors = (a: Code, b: Code): Code => [...a, ...b, ...simd(0xe4)];
export const mulVectors = (a: Code, b: Code): Code => [...a, ...b, ...simd(0xe6)];

/** Instructions on vectors of two float64, or on the bits of a vector, from their operands. */
const vector =
  (opcode: number) =>
  (...operands: readonly Code[]): Code => [...operands.flat(), ...simd(opcode)];
export const f64 = {
  eq: vector(0x47),
  ne: vector(0x48),
  lt: vector(0x49),
  gt: vector(0x4a),
  le: vector(0x4b),
  ge: vector(0x4c),
  ceil: vector(0x74),
  floor: vector(0x75),
  nearest: vector(0x94),
  abs: vector(0xec),
  neg: vector(0xed),
  sqrt: vector(0xef),
  add: vector(0xf0),
  sub: vector(0xf1),
  mul: vector(0xf2),
  div: vector(0xf3),
} as const;
export const bits = {
  not: vector(0x4d),
  and: vector(0x4e),
  or: vector(0x50),
  /** `choose(a, b, mask)`: the bits of a where the mask is 1, those of b elsewhere. */
  choose: vector(0x52),
  addInt64: vector(0xce),
} as const;
export const shiftLeftInt64 = (a: Code, by: number): Code => [...a, ...int(by), ...simd(0xcb)];

/** Four floats out of the eight of `a` (0 to 3) and `b` (4 to 7). */
export const shuffle = (a: Code, b: Code, lanes: readonly number[]): Code => [
  ...a,
  ...b,
  ...simd(13),
  ...lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3]),
];

/** `do { body; local += step } while (local < end)`, unsigned: the body runs at least once. */
export const loop = (local: Local, step: Code, end: Code, body: Code): Code => [
  0x03,
  noResult,
  ...body,
  ...set(local, add(get(local), step)),
  ...get(local),
  ...end,
  0x49,
  0x0d,
  0,
  0x0b,
];

/** A module that imports `env.memory` and exports the functions. */
export function encodeModule(functions: readonly FunctionBody[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(functions.map(({ params }) => [0x60, ...list(repeat([i32], params)), 0]))),
    ...section(2, list([[...text("env"), ...text("memory"), 2, 0, 1]])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map(({ name }, i) => [...text(name), 0, ...unsigned(i)]))),
    ...section(10, list(functions.map(encodeFunction))),
  ]);
}

function encodeFunction({ ints, vectors, code }: FunctionBody): Code {
  const body = [
    ...list([
      [...unsigned(ints), i32],
      [...unsigned(vectors), v128],
    ]),
    ...code,
    0x0b,
  ];
  return [...unsigned(body.length), ...body];
}

function repeat(code: Code, times: number): Code[] {
  return Array.from({ length: times }, () => code);
}
