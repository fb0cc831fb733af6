/**
 * The scalar functions that pointwise bodies are made of. Each states once what it is in JavaScript (float64), in WGSL
 * and how it is differentiated; a new device or a new pass reads this table.
 */
export interface Primitive {
  readonly arity: number;
  /** "bool" for the primitives that answer a question. */
  readonly result: "number" | "bool";
  js(a: number, b: number, c: number): number;
  wgsl(a: string, b: string, c: string): string;
  /** WGSL function that `wgsl` calls, where WGSL has no such builtin. */
  readonly helper?: string;
}

const unary = (js: (a: number) => number, wgsl: (a: string) => string, helper?: string): Primitive => ({
  arity: 1,
  result: "number",
  js,
  wgsl,
  helper,
});
const binary = (js: (a: number, b: number) => number, wgsl: (a: string, b: string) => string): Primitive => ({
  arity: 2,
  result: "number",
  js,
  wgsl,
});
const compare = (js: (a: number, b: number) => number, sign: string): Primitive => ({
  arity: 2,
  result: "bool",
  js,
  wgsl: (a, b) => `(${a} ${sign} ${b})`,
});

export const primitives = {
  add: binary(
    (a, b) => a + b,
    (a, b) => `(${a} + ${b})`,
  ),
  sub: binary(
    (a, b) => a - b,
    (a, b) => `(${a} - ${b})`,
  ),
  mul: binary(
    (a, b) => a * b,
    (a, b) => `(${a} * ${b})`,
  ),
  div: binary(
    (a, b) => a / b,
    (a, b) => `(${a} / ${b})`,
  ),
  neg: unary(
    (a) => -a,
    (a) => `(-${a})`,
  ),
  abs: unary(Math.abs, (a) => `abs(${a})`),
  sqrt: unary(Math.sqrt, (a) => `sqrt(${a})`),
  exp: unary(Math.exp, (a) => `exp(${a})`),
  log: unary(Math.log, (a) => `log(${a})`),
  sin: unary(Math.sin, (a) => `graft_wave(${a}, 0)`, waveWgsl()),
  cos: unary(Math.cos, (a) => `graft_wave(${a}, 1)`, waveWgsl()),
  // tanh of WGSL may overflow for large arguments; beyond ±15 it is ±1 in f32.
  tanh: unary(Math.tanh, (a) => `tanh(clamp(${a}, -15.0f, 15.0f))`),
  // The exponent never overflows: for x < 0 the equal form e^x / (1 + e^x) is used.
  sigmoid: unary(
    (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a))),
    (a) => `graft_sigmoid(${a})`,
    "fn graft_sigmoid(x: f32) -> f32 { let e = exp(-abs(x)); return select(e, 1.0f, x >= 0.0f) / (1.0f + e); }",
  ),
  // log(1 + e^x)
  softplus: unary(
    (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    (a) => `graft_softplus(${a})`,
    "fn graft_softplus(x: f32) -> f32 { let e = exp(-abs(x)); return max(x, 0.0f) + select(log(1.0f + e), e * (1.0f - 0.5f * e), e < 1e-3f); }",
  ),
  erf: unary(erf, (a) => `graft_erf(${a})`, erfWgsl()),
  floor: unary(Math.floor, (a) => `floor(${a})`),
  ceil: unary(Math.ceil, (a) => `ceil(${a})`),
  /** Half to even, as WGSL and PyTorch. */
  round: unary(roundHalfEven, (a) => `round(${a})`),
  min: binary(
    (a, b) => (a < b ? a : b),
    (a, b) => `min(${a}, ${b})`,
  ),
  max: binary(
    (a, b) => (a > b ? a : b),
    (a, b) => `max(${a}, ${b})`,
  ),
  /** a to the power b; WGSL's pow knows no negative base. */
  pow: { ...binary(Math.pow, (a, b) => `graft_pow(${a}, ${b})`), helper: powWgsl() },
  lt: compare((a, b) => (a < b ? 1 : 0), "<"),
  le: compare((a, b) => (a <= b ? 1 : 0), "<="),
  eq: compare((a, b) => (a === b ? 1 : 0), "=="),
  ne: compare((a, b) => (a !== b ? 1 : 0), "!="),
  and: {
    arity: 2,
    result: "bool",
    js: (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
    wgsl: (a, b) => `(${a} && ${b})`,
  },
  or: {
    arity: 2,
    result: "bool",
    js: (a, b) => (a !== 0 || b !== 0 ? 1 : 0),
    wgsl: (a, b) => `(${a} || ${b})`,
  },
  not: { arity: 1, result: "bool", js: (a) => (a === 0 ? 1 : 0), wgsl: (a) => `(!${a})` },
  // On bits, since WGSL may assume that no value is infinite or NaN.
  finite: {
    arity: 1,
    result: "bool",
    js: (a) => (Number.isFinite(a) ? 1 : 0),
    wgsl: (a) => `((bitcast<u32>(${a}) & 0x7f800000u) != 0x7f800000u)`,
  },
  /** c where the condition a holds? No: `select(condition, then, otherwise)`. */
  select: {
    arity: 3,
    result: "number",
    js: (a, b, c) => (a !== 0 ? b : c),
    wgsl: (a, b, c) => `select(${c}, ${b}, ${a})`,
  },
} as const satisfies Record<string, Primitive>;

export type PrimitiveName = keyof typeof primitives;

export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest < 0.5) return down;
  if (rest > 0.5) return down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/**
 * The error function, to about 1e-16: Taylor's series below 2.5, a continued fraction of erfc above
 * (Abramowitz & Stegun 7.1.6 and 7.1.14).
 */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (2 * a * a) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum;
  }
  let fraction = a;
  for (let n = 120; n >= 1; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / fraction);
}

/** f32: the same series below 2 (24 terms), the same fraction above (16 levels). */
function erfWgsl(): string {
  return `fn graft_erf(x: f32) -> f32 {
  let a = abs(x);
  if (a > 4.0f) { return sign(x); }
  let e = exp(-a * a);
  if (a < 2.0f) {
    var term = a; var sum = a;
    for (var n = 1; n < 26; n++) { term *= 2.0f * a * a / f32(2 * n + 1); sum += term; }
    return sign(x) * 1.1283791670955126f * e * sum;
  }
  var fraction = a;
  for (var n = 16; n >= 1; n--) { fraction = a + f32(n) * 0.5f / fraction; }
  return sign(x) * (1.0f - e * 0.5641895835477563f / fraction);
}`;
}

/**
 * sin(x + turn·π/2). WGSL's own sin and cos are promised to 2⁻¹¹ within ±π only, and SwiftShader takes that liberty. The
 * argument is brought into ±π/4 with π/2 in three pieces (Cody & Waite), then Taylor's polynomials of sin and cos, whose
 * first dropped terms are below 2⁻²⁸ there.
 */
function waveWgsl(): string {
  return `fn graft_wave(x: f32, turn: i32) -> f32 {
  let k = round(x * 0.6366197723675814f);
  let r = fma(-k, 7.54978995489188216e-8f, fma(-k, 4.837512969970703125e-4f, fma(-k, 1.5703125f, x)));
  let z = r * r;
  let s = fma(r * z, fma(z, fma(z, fma(z, 2.7557319e-6f, -1.9841270e-4f), 8.3333333e-3f), -0.16666667f), r);
  let c = fma(z, fma(z, fma(z, fma(z, fma(z, -2.7557319e-7f, 2.4801587e-5f), -1.3888889e-3f), 4.1666667e-2f), -0.5f), 1.0f);
  let quarter = (i32(k) + turn) & 3;
  let y = select(s, c, (quarter & 1) == 1);
  return select(y, -y, quarter >= 2);
}`;
}

function powWgsl(): string {
  return `fn graft_pow(a: f32, b: f32) -> f32 {
  if (b == 0.0f) { return 1.0f; }
  if (b == 1.0f) { return a; }
  if (b == 2.0f) { return a * a; }
  if (b == 3.0f) { return a * a * a; }
  if (b == 0.5f) { return sqrt(a); }
  if (b == -1.0f) { return 1.0f / a; }
  if (a == 0.0f) { return select(0.0f, 1.0f / abs(a), b < 0.0f); }
  let p = exp2(b * log2(abs(a)));
  let odd = b == floor(b) && floor(b * 0.5f) * 2.0f != b;
  if (a < 0.0f && b != floor(b)) { return bitcast<f32>(0x7fc00000u + u32(a == 0.0f)); }
  return select(p, -p, a < 0.0f && odd);
}`;
}
