import {
  add,
  bits,
  type Code,
  encodeModule,
  type FunctionBody,
  f64,
  get,
  int,
  type Local,
  loadSplat64,
  loadVector,
  loop,
  set,
  shiftLeftInt64,
  storeVector,
} from "./encoder.ts";
import { instantiate } from "./instantiate.ts";

/** Values in a slot: few enough that the slots of one formula stay in the first two caches. */
export const SLOT = 512;
const SLOTS = 64;

/** `step(out, a, b, c, bytes)`, addresses in bytes: one elementwise function over slots, two float64 at a time. */
export type Step = (out: number, a: number, b: number, c: number, bytes: number) => void;

// Constants are read from memory behind the slots: V8 builds a constant vector anew wherever it is named, at the cost of
// several instructions.
const constants: number[] = [];

function constant(value: number): Code {
  let index = constants.findIndex((known) => Object.is(known, value));
  if (index < 0) index = constants.push(value) - 1;
  return loadSplat64(int(0), 8 * (SLOTS * SLOT + index));
}

const one = constant(1);
const zero = constant(0);
const yes = (mask: Code): Code => bits.and(mask, one);
const isTrue = (a: Code): Code => f64.ne(a, zero);

/** Locals for the functions that need them. */
const [T0, T1, T2, T3] = [6, 7, 8, 9];

const FACTORIALS = [1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800];

/**
 * e^x to about 1e-15, for x in any local: x = k · ln 2 + r with |r| ≤ ln 2 / 2, Taylor's series of e^r, times 2^k by
 * adding k to the exponent's bits. Uses T1 to T3. What would be subnormal is 0.
 */
function exponential(x: Local): Code {
  const magic = 1.5 * 2 ** 52; // adding it rounds to an integer, which is then the low bits
  const ln2High = 0.6931471803691238;
  const ln2Low = 1.9082149292705877e-10;
  // Even and odd powers apart, so that half as many steps wait for each other.
  const series = (first: number): Code => {
    let sum: Code = constant(1 / FACTORIALS[first + 10]);
    for (let n = first + 8; n >= 0; n -= 2) sum = f64.add(f64.mul(sum, get(T3)), constant(1 / FACTORIALS[n]));
    return sum;
  };
  const k = f64.sub(get(T1), constant(magic));
  const power = f64.add(series(0), f64.mul(series(1), get(T2)));
  return [
    ...set(T1, f64.add(f64.mul(get(x), constant(Math.LOG2E)), constant(magic))),
    ...set(T2, f64.sub(f64.sub(get(x), f64.mul(k, constant(ln2High))), f64.mul(k, constant(ln2Low)))),
    ...set(T3, f64.mul(get(T2), get(T2))),
    ...set(T1, bits.addInt64(power, shiftLeftInt64(get(T1), 52))),
    ...set(T1, bits.choose(constant(Infinity), get(T1), f64.gt(get(x), constant(709.7)))),
    ...set(T1, bits.choose(zero, get(T1), f64.lt(get(x), constant(-708.3)))),
    ...bits.choose(get(T1), get(x), f64.eq(get(x), get(x))),
  ];
}

type Body = (a: Code, b: Code, c: Code) => Code;

/** What each function leaves on the stack; statements may come before. The meanings are those of `primitives`. */
const bodies = {
  add: (a, b) => f64.add(a, b),
  sub: (a, b) => f64.sub(a, b),
  mul: (a, b) => f64.mul(a, b),
  div: (a, b) => f64.div(a, b),
  neg: (a) => f64.neg(a),
  abs: (a) => f64.abs(a),
  sqrt: (a) => f64.sqrt(a),
  floor: (a) => f64.floor(a),
  ceil: (a) => f64.ceil(a),
  round: (a) => f64.nearest(a),
  min: (a, b) => bits.choose(a, b, f64.lt(a, b)),
  max: (a, b) => bits.choose(a, b, f64.gt(a, b)),
  lt: (a, b) => yes(f64.lt(a, b)),
  le: (a, b) => yes(f64.le(a, b)),
  eq: (a, b) => yes(f64.eq(a, b)),
  ne: (a, b) => yes(f64.ne(a, b)),
  and: (a, b) => yes(bits.and(isTrue(a), isTrue(b))),
  or: (a, b) => yes(bits.or(isTrue(a), isTrue(b))),
  not: (a) => yes(f64.eq(a, zero)),
  select: (a, b, c) => bits.choose(b, c, isTrue(a)),
  exp: (a) => [...set(T0, a), ...exponential(T0)],
  sigmoid: (a) => [
    ...set(T0, f64.neg(f64.abs(a))),
    ...set(T0, exponential(T0)),
    ...f64.div(bits.choose(one, get(T0), f64.ge(a, zero)), f64.add(one, get(T0))),
  ],
  // (1 − e) / (1 + e) with e = e^(−2|x|), and where that cancels, x − x³/3.
  tanh: (a) => [
    ...set(T0, f64.mul(f64.abs(a), constant(-2))),
    ...set(T0, exponential(T0)),
    ...set(T0, f64.div(f64.sub(one, get(T0)), f64.add(one, get(T0)))),
    ...set(T0, bits.choose(f64.neg(get(T0)), get(T0), f64.lt(a, zero))),
    ...bits.choose(
      f64.sub(a, f64.mul(f64.mul(f64.mul(a, a), a), constant(1 / 3))),
      get(T0),
      f64.lt(f64.abs(a), constant(1e-4)),
    ),
  ],
} satisfies Record<string, Body>;

function functionOf(name: string, body: Body): FunctionBody {
  const [out, a, b, c, bytes, at] = [0, 1, 2, 3, 4, 5];
  const operand = (from: Local): Code => loadVector(add(get(from), get(at)));
  return {
    name,
    params: 5,
    ints: 1,
    vectors: 4,
    code: [
      ...set(at, int(0)),
      ...loop(at, int(16), get(bytes), [
        ...add(get(out), get(at)),
        ...storeVector([], body(operand(a), operand(b), operand(c))),
      ]),
    ],
  };
}

export interface Float64Engine {
  /** The slots as arrays of SLOT values. */
  readonly slots: readonly Float64Array[];
  /** The address of a slot. */
  addressOf(slot: number): number;
  /** The functions by the names of primitives; others have none. */
  readonly steps: Readonly<Record<string, Step | undefined>> & { readonly exp: Step };
}

let opened: Float64Engine | undefined;

/** Elementwise functions in WebAssembly and the memory that they work on, shared by all that is computed. */
export function float64Engine(): Float64Engine {
  opened ??= open();
  return opened;
}

function open(): Float64Engine {
  const functions = Object.entries<Body>(bodies).map(([name, body]) => functionOf(name, body));
  const { exports, buffer } = instantiate(encodeModule(functions), (SLOTS * SLOT + constants.length) * 8);
  new Float64Array(buffer, SLOTS * SLOT * 8).set(constants);
  return {
    slots: Array.from({ length: SLOTS }, (_, i) => new Float64Array(buffer, i * SLOT * 8, SLOT)),
    addressOf: (slot) => slot * SLOT * 8,
    steps: exports as Record<string, Step> & { exp: Step }, // encoded above under these names
  };
}
