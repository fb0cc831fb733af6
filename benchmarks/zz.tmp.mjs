var __defProp = Object.defineProperty;
var __knownSymbol = (name, symbol) => (symbol = Symbol[name]) ? symbol : /* @__PURE__ */ Symbol.for("Symbol." + name);
var __typeError = (msg) => {
  throw TypeError(msg);
};
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};
var __using = (stack2, value, async) => {
  if (value != null) {
    if (typeof value !== "object" && typeof value !== "function") __typeError("Object expected");
    var dispose, inner;
    if (async) dispose = value[__knownSymbol("asyncDispose")];
    if (dispose === void 0) {
      dispose = value[__knownSymbol("dispose")];
      if (async) inner = dispose;
    }
    if (typeof dispose !== "function") __typeError("Object not disposable");
    if (inner) dispose = function() {
      try {
        inner.call(this);
      } catch (e2) {
        return Promise.reject(e2);
      }
    };
    stack2.push([async, dispose, value]);
  } else if (async) {
    stack2.push([async]);
  }
  return value;
};
var __callDispose = (stack2, error, hasError) => {
  var E = typeof SuppressedError === "function" ? SuppressedError : function(e2, s, m, _) {
    return _ = Error(m), _.name = "SuppressedError", _.error = e2, _.suppressed = s, _;
  };
  var fail = (e2) => error = hasError ? new E(e2, error, "An error was suppressed during disposal") : (hasError = true, e2);
  var next = (it) => {
    while (it = stack2.pop()) {
      try {
        var result = it[1] && it[1].call(it[2]);
        if (it[0]) return Promise.resolve(result).then(next, (e2) => (fail(e2), next()));
      } catch (e2) {
        fail(e2);
      }
    }
    if (hasError) throw error;
  };
  return next();
};

// packages/tensor/src/errors.ts
var ShapeError = class extends Error {
  name = "ShapeError";
  constructor(who, message) {
    super(`${who}: ${message}`);
  }
};
var DTypeError = class extends Error {
  name = "DTypeError";
  constructor(who, message) {
    super(`${who}: ${message}`);
  }
};
var DeviceError = class extends Error {
  name = "DeviceError";
  constructor(who, message) {
    super(`${who}: ${message}`);
  }
};
var DeviceLostError = class extends DeviceError {
  name = "DeviceLostError";
  /** What the driver, browser or program said. */
  reason;
  constructor(reason) {
    super("webgpu", `the device was lost (${reason}). Open another one and go on from the last snapshot.`);
    this.reason = reason;
  }
};
var OutOfMemoryError = class extends DeviceError {
  name = "OutOfMemoryError";
};
var GradError = class extends Error {
  name = "GradError";
  constructor(who, message) {
    super(`${who}: ${message}`);
  }
};
var ValueError = class extends Error {
  name = "ValueError";
  constructor(who, message) {
    super(`${who}: ${message}`);
  }
};
var CompileError = class extends Error {
  name = "CompileError";
  constructor(who, message) {
    super(`${who}: ${message}`);
  }
};
function internal(message) {
  return new Error(`internal: ${message}. Please report this with the stack below.`);
}

// packages/tensor/src/autograd/gradMode.ts
var enabled = true;
function isGradEnabled() {
  return enabled;
}
function withMode(who, mode, fn) {
  const before = enabled;
  enabled = mode;
  let result;
  try {
    result = fn();
  } finally {
    enabled = before;
  }
  if (result instanceof Promise) {
    result.catch(() => {
    });
    throw new GradError(who, `fn must be synchronous, got an async function. Await outside of ${who}.`);
  }
  return result;
}
function noGrad(fn) {
  return withMode("noGrad", false, fn);
}
function enableGrad(fn) {
  return withMode("enableGrad", true, fn);
}

// packages/tensor/src/autograd/node.ts
var nextId = 0;
var Node = class {
  /** Rises with every record, so that a descending walk is a topological order. */
  id = nextId++;
  op;
  attrs;
  inputs;
  outputs;
  #saved = [];
  #released = false;
  /** `inputs` and `outputs` are aliases made for this node; those in `saved` hold their storage until released. */
  constructor(op6, attrs, inputs, outputs, saved) {
    this.op = op6;
    this.attrs = attrs;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#saved = saved.map((tensor2) => ({ tensor: tensor2, version: tensor2.storage.version }));
  }
  get released() {
    return this.#released;
  }
  /** Throws where a saved value was changed in place or freed since it was recorded. */
  check() {
    if (this.#released) {
      throw new GradError(
        "backward",
        `the record of ${this.op.name} was freed by an earlier backward. Pass { retainGraph: true } to the first one.`
      );
    }
    for (const { tensor: tensor2, version: version2 } of this.#saved) {
      if (tensor2.storage.version !== version2) {
        throw new GradError(
          "backward",
          `${this.op.name} saved a tensor that ${tensor2.storage.writer} changed in place afterwards. Use the op that makes a new tensor, or change it after backward.`
        );
      }
    }
  }
  /** Gives back the saved storages. */
  release() {
    if (this.#released) return;
    this.#released = true;
    for (const { tensor: tensor2 } of this.#saved) tensor2.dispose();
    this.#saved = [];
  }
};
function reachable(variables, stop) {
  const seen = /* @__PURE__ */ new Set();
  const stack2 = [];
  const visit = (node) => {
    if (node === void 0 || seen.has(node)) return;
    seen.add(node);
    stack2.push(node);
  };
  for (const variable of variables) visit(variable.node);
  for (let node = stack2.pop(); node !== void 0; node = stack2.pop()) {
    for (const { variable } of node.inputs) if (!stop?.has(variable)) visit(variable.node);
  }
  return seen;
}

// packages/tensor/src/device/storage.ts
var Storage = class {
  device;
  bytes;
  /** Where the values begin in what the device holds them in, in bytes: a multiple of 16. */
  start = 0;
  /** Rises with every change in place; a tensor saved for backward remembers it. */
  version = 0;
  /** The op that last changed the storage in place, for messages. */
  writer = "";
  #users = 1;
  constructor(device, bytes2) {
    this.device = device;
    this.bytes = bytes2;
  }
  retain() {
    if (this.#users === 0) throw internal("a freed storage was retained");
    this.#users++;
    return this;
  }
  release() {
    if (this.#users === 0) throw internal("a storage was freed twice");
    if (--this.#users === 0) this.freed();
  }
  /** Nobody uses the storage any more. */
  freed() {
    this.device.free(this);
  }
};

// packages/tensor/src/dtype.ts
var bytes = { f32: 4, f64: 8, f16: 2, bf16: 2, i32: 4, u32: 4, bool: 4 };
function bytesPer(dtype) {
  return bytes[dtype];
}
function isDType(value) {
  return typeof value === "string" && Object.hasOwn(bytes, value);
}
function isFloat(dtype) {
  return dtype === "f32" || dtype === "f64" || dtype === "f16" || dtype === "bf16";
}
function isHalf(dtype) {
  return dtype === "f16" || dtype === "bf16";
}
function computeType(dtype) {
  return isHalf(dtype) ? "f32" : dtype;
}
function arrayOf(dtype, size) {
  switch (dtype) {
    case "f32":
      return new Float32Array(size);
    case "f64":
      return new Float64Array(size);
    case "f16":
    case "bf16":
      return new Uint16Array(size);
    case "i32":
      return new Int32Array(size);
    default:
      return new Uint32Array(size);
  }
}

// packages/tensor/src/compile/live.ts
var known = /* @__PURE__ */ new WeakSet();
var isLive = (values) => known.has(values);
var listener;
function hear(live) {
  known.add(live.values);
  listener?.(live);
}
function everyStep(compute) {
  const values = compute();
  hear({ values, compute });
  return values;
}

// packages/tensor/src/random/threefry.ts
var rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24]
];
function threefry([k0, k1], c0, c1) {
  const keys = [k0, k1, k0 ^ k1 ^ 466688986];
  let x0 = c0 + k0 | 0;
  let x1 = c1 + k1 | 0;
  for (let block = 0; block < 5; block++) {
    for (const r of rotations[block % 2]) {
      x0 = x0 + x1 | 0;
      x1 = (x1 << r | x1 >>> 32 - r) ^ x0;
    }
    x0 = x0 + keys[(block + 1) % 3] | 0;
    x1 = x1 + keys[(block + 2) % 3] + block + 1 | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
}
function keyOf(seed) {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError(`random key: the seed must be a whole number from 0 to 2^53 - 1, got ${seed}.`);
  return [Math.floor(seed / 2 ** 32), seed >>> 0];
}
function foldIn(key, data) {
  const [high, low] = keyOf(data);
  const fold = () => threefry(key, high, low);
  return isLive(key) ? everyStep(fold) : fold();
}

// packages/tensor/src/random/generator.ts
var Generator = class {
  seed;
  /** How many keys were handed out. Set it to go back or forth. */
  count;
  #key;
  constructor(seed = 0, count = 0) {
    this.seed = seed;
    this.count = count;
    this.#key = keyOf(seed);
  }
  /** The next key. In a compiled step it is another one at each replay, as if the step had run again. */
  next() {
    witness?.(this);
    const key = this.keyAt(this.count++);
    return tracer === void 0 ? key : tracer(this, this.count - 1, key);
  }
  /** The key of call number `count`. */
  keyAt(count) {
    return foldIn(this.#key, count);
  }
};
var witness;
var tracer;

// packages/tensor/src/compile/trace.ts
var TracedStorage = class extends Storage {
  dtype;
  /** In values. */
  size;
  constructor(device, dtype, size) {
    super(device, size * bytesPer(dtype));
    this.dtype = dtype;
    this.size = size;
  }
  freed() {
  }
};
var active;
var activeTrace = () => active;
function checkReal(who, storage) {
  if (storage instanceof TracedStorage)
    throw new CompileError(
      who,
      "the tensor was made inside a compiled step and has no values here. Return it from the step."
    );
}
function checkReadable(who) {
  if (active !== void 0)
    throw new CompileError(
      who,
      "values cannot be read inside a compiled step: it is traced without them. Return the tensor and read it outside; choose between values with where()."
    );
}

// packages/tensor/src/scope.ts
var Scope = class {
  #tensors = /* @__PURE__ */ new Set();
  #nodes = /* @__PURE__ */ new Set();
  addTensor(tensor2) {
    this.#tensors.add(tensor2);
  }
  addNode(node) {
    this.#nodes.add(node);
  }
  /** Hands `tensors`, and the records they need for backward, to `owner` (nobody where undefined). */
  release(tensors, owner) {
    const leaving = [];
    for (const tensor2 of tensors) {
      leaving.push(tensor2);
      if (this.#tensors.delete(tensor2)) owner?.addTensor(tensor2);
    }
    if (this.#nodes.size === 0) return;
    for (const node of reachable(leaving.map((tensor2) => tensor2.variable))) {
      if (this.#nodes.delete(node)) owner?.addNode(node);
    }
  }
  /** Ends the scope: frees all that it still owns. Ending it twice is harmless. */
  [Symbol.dispose]() {
    const at = stack.lastIndexOf(this);
    if (at >= 0) stack.splice(at, 1);
    for (const node of this.#nodes) node.release();
    for (const tensor2 of this.#tensors) tensor2.dispose();
    this.#nodes.clear();
    this.#tensors.clear();
  }
};
var stack = [];
function currentScope() {
  return stack.at(-1);
}
function openScope() {
  const opened3 = new Scope();
  stack.push(opened3);
  return opened3;
}
function scope(fn) {
  const own2 = openScope();
  try {
    const result = fn();
    if (result instanceof Promise) {
      result.catch(() => {
      });
      throw new TypeError(
        "scope: fn must be synchronous, got an async function. Use `using s = openScope()` around awaits."
      );
    }
    const at = stack.lastIndexOf(own2);
    own2.release(tensorsIn(result), at > 0 ? stack[at - 1] : void 0);
    return result;
  } finally {
    own2[Symbol.dispose]();
  }
}
function keep(tensor2) {
  for (const owner of stack) owner.release([tensor2], void 0);
  return tensor2;
}
function another(tensor2) {
  const handle = tensor2.alias(true);
  currentScope()?.addTensor(handle);
  return handle;
}
function tensorsIn(value, found = /* @__PURE__ */ new Set(), seen = /* @__PURE__ */ new Set()) {
  if (typeof value !== "object" || value === null || seen.has(value)) return found;
  seen.add(value);
  if (isTensor(value)) found.add(value);
  else if (Array.isArray(value) || value instanceof Set)
    for (const item of value) tensorsIn(item, found, seen);
  else if (value instanceof Map) for (const item of value.values()) tensorsIn(item, found, seen);
  else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
    for (const item of Object.values(value)) tensorsIn(item, found, seen);
  }
  return found;
}
function isTensor(value) {
  return "isGraftTensor" in value;
}

// packages/tensor/src/shape.ts
function sizeOf(shape) {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}
function show(shape) {
  return `[${shape.join(", ")}]`;
}
function sameShape(a, b) {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}
function stridesOf(shape) {
  const strides = new Array(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}
function broadcastShapes(shapes) {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const result = new Array(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const at = rank - shape.length + i;
      const dim = shape[i];
      if (dim === 1 || dim === result[at]) continue;
      if (result[at] !== 1) return void 0;
      result[at] = dim;
    }
  }
  return result;
}
function broadcastStrides(shape, to) {
  const own2 = stridesOf(shape);
  const lead = to.length - shape.length;
  return to.map((_, i) => i < lead || shape[i - lead] === 1 ? 0 : own2[i - lead]);
}
function resolveAxis(axis, rank) {
  const resolved = axis < 0 ? axis + rank : axis;
  return Number.isInteger(axis) && resolved >= 0 && resolved < rank ? resolved : void 0;
}
function collapse(shape, strides) {
  const dims = [];
  const out = strides.map(() => []);
  for (let i = 0; i < shape.length; i++) {
    if (shape[i] === 1) continue;
    const last = dims.length - 1;
    if (last >= 0 && strides.every((s, k) => out[k][last] === s[i] * shape[i])) {
      dims[last] *= shape[i];
      for (let k = 0; k < strides.length; k++) out[k][last] = strides[k][i];
    } else {
      dims.push(shape[i]);
      for (let k = 0; k < strides.length; k++) out[k].push(strides[k][i]);
    }
  }
  return { shape: dims, strides: out };
}

// packages/tensor/src/ops/op.ts
function apply(op6, inputs, attrs) {
  const first = inputs[0];
  for (const input of inputs) {
    input.checkAlive(op6.name);
    if (input.device !== first.device) {
      throw new DeviceError(
        op6.name,
        `all inputs must be on one device, got ${first.device.kind} and ${input.device.kind}. Move one with await tensor.to(device).`
      );
    }
  }
  return applyOn(
    first.device,
    op6,
    inputs,
    attrs,
    (meta, storage, offset) => first.spawn(meta, storage, offset)
  );
}
function applyOn(device, op6, inputs, attrs, spawn) {
  const metas = op6.infer(inputs, attrs);
  const wantsGrad = isGradEnabled() && inputs.some((input) => input.requiresGrad) && (op6.mutates !== void 0 || metas.some((meta) => isFloat(meta.dtype)));
  if (op6.mutates !== void 0) {
    if (wantsGrad) {
      throw new GradError(
        op6.name,
        op6.mutates.some((i) => inputs[i].requiresGrad) ? "a tensor that requires a gradient cannot be changed in place while recording. Wrap the call in noGrad." : "a change in place is not recorded, and an input that requires a gradient would lose it. Use detach on it, or wrap the call in noGrad."
      );
    }
  } else if (wantsGrad && typeof op6.gradient === "string") {
    throw new GradError(
      op6.name,
      `this op has no gradient (${op6.gradient.slice("none: ".length)}). Use detach or noGrad around it.`
    );
  }
  const trace = activeTrace();
  if (trace === void 0) for (const { storage } of inputs) checkReal(op6.name, storage);
  let outputs;
  if (op6.view !== void 0) {
    const [meta] = metas;
    outputs = [spawn(meta, inputs[0].storage.retain(), inputs[0].offset + op6.view(inputs, attrs))];
  } else {
    outputs = metas.map((meta) => {
      device.checkDType(op6.name, meta.dtype);
      const size = sizeOf(meta.shape);
      const storage = trace === void 0 ? device.allocate(meta.dtype, size) : trace.allocate(device, meta.dtype, size);
      return spawn(meta, storage, 0);
    });
    try {
      if (trace === void 0) device.run(op6, inputs, outputs, attrs);
      else trace.record(op6, inputs, outputs, attrs);
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    }
    for (const i of op6.mutates ?? []) {
      inputs[i].storage.version++;
      inputs[i].storage.writer = op6.name;
    }
  }
  const owner = currentScope();
  if (owner !== void 0) for (const output of outputs) owner.addTensor(output);
  if (wantsGrad && op6.mutates === void 0) record(op6, inputs, outputs, attrs);
  return outputs;
}
function unchanged(who, x) {
  x.checkAlive(who);
  return another(x);
}
function record(op6, inputs, outputs, attrs) {
  const saves = op6.saves?.(inputs, attrs) ?? { inputs: inputs.map((_, i) => i) };
  const savedInputs = new Set(saves.inputs ?? []);
  const savedOutputs = new Set(saves.outputs ?? []);
  outputs.forEach((output, index) => {
    output.variable = { requiresGrad: isFloat(output.dtype), grad: void 0, node: void 0, index };
  });
  const inputAliases = inputs.map((input, i) => input.alias(savedInputs.has(i)));
  const outputAliases = outputs.map((output, i) => output.alias(savedOutputs.has(i)));
  const saved = [
    ...inputAliases.filter((_, i) => savedInputs.has(i)),
    ...outputAliases.filter((_, i) => savedOutputs.has(i))
  ];
  const node = new Node(op6, attrs, inputAliases, outputAliases, saved);
  for (const output of outputs) if (output.requiresGrad) output.variable.node = node;
  currentScope()?.addNode(node);
}

// packages/tensor/src/ops/pointwise/primitives.ts
var unary = (js, wgsl, helper) => ({
  arity: 1,
  result: "number",
  js,
  wgsl,
  helper
});
var binary = (js, wgsl) => ({
  arity: 2,
  result: "number",
  js,
  wgsl
});
var compare = (js, sign2) => ({
  arity: 2,
  result: "bool",
  js,
  wgsl: (a, b) => `(${a} ${sign2} ${b})`
});
var primitives = {
  add: binary(
    (a, b) => a + b,
    (a, b) => `(${a} + ${b})`
  ),
  sub: binary(
    (a, b) => a - b,
    (a, b) => `(${a} - ${b})`
  ),
  mul: binary(
    (a, b) => a * b,
    (a, b) => `(${a} * ${b})`
  ),
  div: binary(
    (a, b) => a / b,
    (a, b) => `(${a} / ${b})`
  ),
  neg: unary(
    (a) => -a,
    (a) => `(-${a})`
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
    (a) => a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)),
    (a) => `graft_sigmoid(${a})`,
    "fn graft_sigmoid(x: f32) -> f32 { let e = exp(-abs(x)); return select(e, 1.0f, x >= 0.0f) / (1.0f + e); }"
  ),
  // log(1 + e^x)
  softplus: unary(
    (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    (a) => `graft_softplus(${a})`,
    "fn graft_softplus(x: f32) -> f32 { let e = exp(-abs(x)); return max(x, 0.0f) + select(log(1.0f + e), e * (1.0f - 0.5f * e), e < 1e-3f); }"
  ),
  erf: unary(erf, (a) => `graft_erf(${a})`, erfWgsl()),
  floor: unary(Math.floor, (a) => `floor(${a})`),
  ceil: unary(Math.ceil, (a) => `ceil(${a})`),
  /** Half to even, as WGSL and PyTorch. */
  round: unary(roundHalfEven, (a) => `round(${a})`),
  min: binary(
    (a, b) => a < b ? a : b,
    (a, b) => `min(${a}, ${b})`
  ),
  max: binary(
    (a, b) => a > b ? a : b,
    (a, b) => `max(${a}, ${b})`
  ),
  /** a to the power b; WGSL's pow knows no negative base. */
  pow: { ...binary(Math.pow, (a, b) => `graft_pow(${a}, ${b})`), helper: powWgsl() },
  lt: compare((a, b) => a < b ? 1 : 0, "<"),
  le: compare((a, b) => a <= b ? 1 : 0, "<="),
  eq: compare((a, b) => a === b ? 1 : 0, "=="),
  ne: compare((a, b) => a !== b ? 1 : 0, "!="),
  and: {
    arity: 2,
    result: "bool",
    js: (a, b) => a !== 0 && b !== 0 ? 1 : 0,
    wgsl: (a, b) => `(${a} && ${b})`
  },
  or: {
    arity: 2,
    result: "bool",
    js: (a, b) => a !== 0 || b !== 0 ? 1 : 0,
    wgsl: (a, b) => `(${a} || ${b})`
  },
  not: { arity: 1, result: "bool", js: (a) => a === 0 ? 1 : 0, wgsl: (a) => `(!${a})` },
  // On bits, since WGSL may assume that no value is infinite or NaN.
  finite: {
    arity: 1,
    result: "bool",
    js: (a) => Number.isFinite(a) ? 1 : 0,
    wgsl: (a) => `((bitcast<u32>(${a}) & 0x7f800000u) != 0x7f800000u)`
  },
  /** c where the condition a holds? No: `select(condition, then, otherwise)`. */
  select: {
    arity: 3,
    result: "number",
    js: (a, b, c) => a !== 0 ? b : c,
    wgsl: (a, b, c) => `select(${c}, ${b}, ${a})`
  }
};
function roundHalfEven(x) {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest < 0.5) return down;
  if (rest > 0.5) return down + 1;
  return down % 2 === 0 ? down : down + 1;
}
function erf(x) {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum2 = a;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum2); n++) {
      term *= 2 * a * a / (2 * n + 1);
      sum2 += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum2;
  }
  let fraction = a;
  for (let n = 120; n >= 1; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / fraction);
}
function erfWgsl() {
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
function waveWgsl() {
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
function powWgsl() {
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

// packages/tensor/src/ops/pointwise/expr.ts
var constant = (value) => ({ kind: "const", value });
var lift = (x) => typeof x === "number" ? constant(x) : x;
var isConst = (x, value) => x.kind === "const" && x.value === value;
function call(fn, ...operands) {
  const args = operands.map(lift);
  const [a, b] = args;
  if (fn === "add" && isConst(a, 0)) return b;
  if ((fn === "add" || fn === "sub") && isConst(b, 0)) return a;
  if (fn === "sub" && isConst(a, 0)) return call("neg", b);
  if (fn === "mul" && (isConst(a, 0) || isConst(b, 0))) return constant(0);
  if (fn === "mul" && isConst(a, 1)) return b;
  if ((fn === "mul" || fn === "div") && isConst(b, 1)) return a;
  if (fn === "div" && isConst(a, 0)) return constant(0);
  if (fn === "neg" && isConst(a, 0)) return a;
  if (fn === "select" && isConst(args[1], 0) && isConst(args[2], 0)) return constant(0);
  if (args.every((x) => x.kind === "const") && primitives[fn].result === "number") {
    const [x, y, z] = args.map((arg) => arg.kind === "const" ? arg.value : 0);
    return constant(primitives[fn].js(x, y ?? 0, z ?? 0));
  }
  return { kind: "call", fn, args };
}
var e = Object.fromEntries(
  Object.keys(primitives).map((fn) => [fn, (...args) => call(fn, ...args)])
  // keys of `primitives`
);
function inOrder(...roots) {
  const seen = /* @__PURE__ */ new Set();
  const order = [];
  const visit = (x) => {
    if (seen.has(x)) return;
    seen.add(x);
    if (x.kind === "call") for (const arg of x.args) visit(arg);
    order.push(x);
  };
  for (const root of roots) visit(root);
  return order;
}
function textOf(...roots) {
  const order = inOrder(...roots);
  const at = new Map(order.map((item, i) => [item, i]));
  const several = roots.length === 1 ? "" : `>${roots.map((root) => at.get(root)).join()}`;
  const text3 = order.map((item) => {
    if (item.kind === "call") return `${item.fn}(${item.args.map((arg) => at.get(arg)).join(" ")})`;
    if (item.kind === "input") return `${item.bool ? "?" : "x"}${item.index}`;
    return item.kind === "param" ? `$${item.name}` : `#${item.value}`;
  }).join(";");
  return text3 + several;
}
function inputsOf(x) {
  return new Set(inOrder(x).flatMap((item) => item.kind === "input" ? [item.index] : []));
}
function substitute(root, replace, done = /* @__PURE__ */ new Map()) {
  const known2 = done.get(root);
  if (known2 !== void 0) return known2;
  let result = root;
  if (root.kind === "input" || root.kind === "param") result = replace(root);
  if (root.kind === "call")
    result = { ...root, args: root.args.map((arg) => substitute(arg, replace, done)) };
  done.set(root, result);
  return result;
}

// packages/tensor/src/ops/pointwise/derivative.ts
var TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);
var rules = {
  add: () => [constant(1), constant(1)],
  sub: () => [constant(1), constant(-1)],
  mul: ([a, b]) => [b, a],
  div: ([, b], y) => [e.div(1, b), e.neg(e.div(y, b))],
  neg: () => [constant(-1)],
  abs: ([a]) => [sign(a)],
  sqrt: (_, y) => [e.div(0.5, y)],
  exp: (_, y) => [y],
  log: ([a]) => [e.div(1, a)],
  sin: ([a]) => [e.cos(a)],
  cos: ([a]) => [e.neg(e.sin(a))],
  tanh: (_, y) => [e.sub(1, e.mul(y, y))],
  sigmoid: (_, y) => [e.mul(y, e.sub(1, y))],
  softplus: ([a]) => [e.sigmoid(a)],
  erf: ([a]) => [e.mul(TWO_OVER_SQRT_PI, e.exp(e.neg(e.mul(a, a))))],
  floor: () => [constant(0)],
  ceil: () => [constant(0)],
  round: () => [constant(0)],
  // A tie is shared, as PyTorch's maximum and minimum do.
  min: ([a, b]) => [share(e.lt(a, b), a, b), share(e.lt(b, a), a, b)],
  max: ([a, b]) => [share(e.lt(b, a), a, b), share(e.lt(a, b), a, b)],
  // d/da = b·a^(b−1), 0 where b is 0; d/db = a^b·log a, 0 where a is 0 and b ≥ 0 (PyTorch).
  pow: ([a, b], y) => [
    e.select(e.eq(b, 0), 0, e.mul(b, e.pow(a, e.sub(b, 1)))),
    e.select(e.and(e.eq(a, 0), e.le(0, b)), 0, e.mul(y, e.log(a)))
  ],
  lt: () => [constant(0), constant(0)],
  le: () => [constant(0), constant(0)],
  eq: () => [constant(0), constant(0)],
  ne: () => [constant(0), constant(0)],
  and: () => [constant(0), constant(0)],
  or: () => [constant(0), constant(0)],
  not: () => [constant(0)],
  finite: () => [constant(0)],
  select: ([condition]) => [constant(0), e.select(condition, 1, 0), e.select(condition, 0, 1)]
};
function sign(a) {
  return e.select(e.lt(0, a), 1, e.select(e.lt(a, 0), -1, 0));
}
function share(wins, a, b) {
  return e.select(wins, 1, e.select(e.eq(a, b), 0.5, 0));
}
function differentiate(root, seed, inputs) {
  const adjoint = /* @__PURE__ */ new Map([[root, seed]]);
  const result = new Array(inputs).fill(constant(0));
  for (const item of inOrder(root).reverse()) {
    const dy = adjoint.get(item);
    if (dy === void 0) continue;
    if (item.kind === "input") result[item.index] = e.add(result[item.index], dy);
    if (item.kind !== "call") continue;
    const partials = rules[item.fn](item.args, item);
    item.args.forEach((arg, i) => {
      const partial = partials[i];
      if (partial.kind === "const" && partial.value === 0) return;
      const step2 = chain(dy, partial);
      const before = adjoint.get(arg);
      adjoint.set(arg, before === void 0 ? step2 : e.add(before, step2));
    });
  }
  return result;
}
function chain(dy, partial) {
  if (partial.kind === "const" && partial.value === -1) return e.neg(dy);
  if (partial.kind === "call" && partial.fn === "select") {
    const [condition, then, otherwise] = partial.args;
    return e.select(condition, chain(dy, then), chain(dy, otherwise));
  }
  return e.mul(dy, partial);
}

// packages/tensor/src/device/cpu/wasm/encoder.ts
var i32 = 127;
var v128 = 123;
var noResult = 64;
function unsigned(value) {
  const bytes2 = [];
  let rest = value;
  do {
    const byte = rest & 127;
    rest >>>= 7;
    bytes2.push(rest === 0 ? byte : byte | 128);
  } while (rest !== 0);
  return bytes2;
}
function signed(value) {
  const bytes2 = [];
  let rest = value;
  for (; ; ) {
    const byte = rest & 127;
    rest >>= 7;
    const done = rest === 0 && (byte & 64) === 0 || rest === -1 && (byte & 64) !== 0;
    bytes2.push(done ? byte : byte | 128);
    if (done) return bytes2;
  }
}
var list = (items) => [...unsigned(items.length), ...items.flat()];
var section = (id, body) => [id, ...unsigned(body.length), ...body];
var simd = (opcode) => [253, ...unsigned(opcode)];
var text = (value) => list([...value].map((c) => [c.charCodeAt(0)]));
var int = (value) => [65, ...signed(value)];
var get = (local) => [32, ...unsigned(local)];
var set = (local, value) => [...value, 33, ...unsigned(local)];
var add = (a, b) => [...a, ...b, 106];
var mul = (a, b) => [...a, ...b, 108];
var advance = (local, step2) => set(local, add(get(local), step2));
var loadVector = (address, offset = 0) => [
  ...address,
  ...simd(0),
  2,
  ...unsigned(offset)
];
var loadSplat = (address, offset = 0) => [
  ...address,
  ...simd(9),
  2,
  ...unsigned(offset)
];
var loadSplat64 = (address, offset = 0) => [
  ...address,
  ...simd(10),
  3,
  ...unsigned(offset)
];
var storeVector = (address, value, offset = 0) => [
  ...address,
  ...value,
  ...simd(11),
  2,
  ...unsigned(offset)
];
var zeroVector = [...simd(12), ...new Array(16).fill(0)];
var addVectors = (a, b) => [...a, ...b, ...simd(228)];
var mulVectors = (a, b) => [...a, ...b, ...simd(230)];
var vector = (opcode) => (...operands) => [...operands.flat(), ...simd(opcode)];
var f64 = {
  eq: vector(71),
  ne: vector(72),
  lt: vector(73),
  gt: vector(74),
  le: vector(75),
  ge: vector(76),
  ceil: vector(116),
  floor: vector(117),
  nearest: vector(148),
  abs: vector(236),
  neg: vector(237),
  sqrt: vector(239),
  add: vector(240),
  sub: vector(241),
  mul: vector(242),
  div: vector(243)
};
var bits = {
  not: vector(77),
  and: vector(78),
  or: vector(80),
  /** `choose(a, b, mask)`: the bits of a where the mask is 1, those of b elsewhere. */
  choose: vector(82),
  addInt64: vector(206)
};
var shiftLeftInt64 = (a, by) => [...a, ...int(by), ...simd(203)];
var shuffle = (a, b, lanes) => [
  ...a,
  ...b,
  ...simd(13),
  ...lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3])
];
var loop = (local, step2, end, body) => [
  3,
  noResult,
  ...body,
  ...set(local, add(get(local), step2)),
  ...get(local),
  ...end,
  73,
  13,
  0,
  11
];
function encodeModule(functions) {
  return Uint8Array.from([
    ...[0, 97, 115, 109, 1, 0, 0, 0],
    ...section(1, list(functions.map(({ params }) => [96, ...list(repeat([i32], params)), 0]))),
    ...section(2, list([[...text("env"), ...text("memory"), 2, 0, 1]])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map(({ name }, i) => [...text(name), 0, ...unsigned(i)]))),
    ...section(10, list(functions.map(encodeFunction)))
  ]);
}
function encodeFunction({ ints, vectors, code }) {
  const body = [
    ...list([
      [...unsigned(ints), i32],
      [...unsigned(vectors), v128]
    ]),
    ...code,
    11
  ];
  return [...unsigned(body.length), ...body];
}
function repeat(code, times) {
  return Array.from({ length: times }, () => code);
}

// packages/tensor/src/device/cpu/wasm/instantiate.ts
function instantiate(bytes2, memoryBytes) {
  const pages = Math.ceil(memoryBytes / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes2), { env: { memory } });
  return { exports, buffer: memory.buffer };
}

// packages/tensor/src/device/cpu/wasm/float64.ts
var SLOT = 512;
var SLOTS = 64;
var constants = [];
function constant2(value) {
  let index = constants.findIndex((known2) => Object.is(known2, value));
  if (index < 0) index = constants.push(value) - 1;
  return loadSplat64(int(0), 8 * (SLOTS * SLOT + index));
}
var one = constant2(1);
var zero = constant2(0);
var yes = (mask) => bits.and(mask, one);
var isTrue = (a) => f64.ne(a, zero);
var [T0, T1, T2, T3] = [6, 7, 8, 9];
var FACTORIALS = [1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800];
function exponential(x) {
  const magic = 1.5 * 2 ** 52;
  const ln2High = 0.6931471803691238;
  const ln2Low = 19082149292705877e-26;
  const series = (first) => {
    let sum2 = constant2(1 / FACTORIALS[first + 10]);
    for (let n = first + 8; n >= 0; n -= 2) sum2 = f64.add(f64.mul(sum2, get(T3)), constant2(1 / FACTORIALS[n]));
    return sum2;
  };
  const k = f64.sub(get(T1), constant2(magic));
  const power = f64.add(series(0), f64.mul(series(1), get(T2)));
  return [
    ...set(T1, f64.add(f64.mul(get(x), constant2(Math.LOG2E)), constant2(magic))),
    ...set(T2, f64.sub(f64.sub(get(x), f64.mul(k, constant2(ln2High))), f64.mul(k, constant2(ln2Low)))),
    ...set(T3, f64.mul(get(T2), get(T2))),
    ...set(T1, bits.addInt64(power, shiftLeftInt64(get(T1), 52))),
    ...set(T1, bits.choose(constant2(Infinity), get(T1), f64.gt(get(x), constant2(709.7)))),
    ...set(T1, bits.choose(zero, get(T1), f64.lt(get(x), constant2(-708.3)))),
    ...bits.choose(get(T1), get(x), f64.eq(get(x), get(x)))
  ];
}
var bodies = {
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
    ...f64.div(bits.choose(one, get(T0), f64.ge(a, zero)), f64.add(one, get(T0)))
  ],
  // (1 − e) / (1 + e) with e = e^(−2|x|), and where that cancels, x − x³/3.
  tanh: (a) => [
    ...set(T0, f64.mul(f64.abs(a), constant2(-2))),
    ...set(T0, exponential(T0)),
    ...set(T0, f64.div(f64.sub(one, get(T0)), f64.add(one, get(T0)))),
    ...set(T0, bits.choose(f64.neg(get(T0)), get(T0), f64.lt(a, zero))),
    ...bits.choose(
      f64.sub(a, f64.mul(f64.mul(f64.mul(a, a), a), constant2(1 / 3))),
      get(T0),
      f64.lt(f64.abs(a), constant2(1e-4))
    )
  ]
};
function functionOf(name, body) {
  const [out, a, b, c, bytes2, at] = [0, 1, 2, 3, 4, 5];
  const operand = (from) => loadVector(add(get(from), get(at)));
  return {
    name,
    params: 5,
    ints: 1,
    vectors: 4,
    code: [
      ...set(at, int(0)),
      ...loop(at, int(16), get(bytes2), [
        ...add(get(out), get(at)),
        ...storeVector([], body(operand(a), operand(b), operand(c)))
      ])
    ]
  };
}
var opened;
function float64Engine() {
  opened ??= open();
  return opened;
}
function open() {
  const functions = Object.entries(bodies).map(([name, body]) => functionOf(name, body));
  const { exports, buffer } = instantiate(encodeModule(functions), (SLOTS * SLOT + constants.length) * 8);
  new Float64Array(buffer, SLOTS * SLOT * 8).set(constants);
  return {
    slots: Array.from({ length: SLOTS }, (_, i) => new Float64Array(buffer, i * SLOT * 8, SLOT)),
    addressOf: (slot) => slot * SLOT * 8,
    steps: exports
    // encoded above under these names
  };
}

// packages/tensor/src/ops/pointwise/interpret.ts
var CHUNK = 1024;
var loops = {
  add(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
  },
  sub(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] - b[i];
  },
  mul(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] * b[i];
  },
  div(out, a, b, _, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] / b[i];
  },
  exp(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = Math.exp(a[i]);
  },
  sigmoid(out, a, _, __, n) {
    for (let i = 0; i < n; i++) {
      const y = Math.exp(-Math.abs(a[i]));
      out[i] = (a[i] >= 0 ? 1 : y) / (1 + y);
    }
  },
  neg(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = -a[i];
  },
  sqrt(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = Math.sqrt(a[i]);
  },
  log(out, a, _, __, n) {
    for (let i = 0; i < n; i++) out[i] = Math.log(a[i]);
  },
  select(out, a, b, c, n) {
    for (let i = 0; i < n; i++) out[i] = a[i] !== 0 ? b[i] : c[i];
  }
};
function loopOf(fn) {
  const js = primitives[fn].js;
  return loops[fn] ?? ((out, a, b, c, n) => {
    for (let i = 0; i < n; i++) out[i] = js(a[i], b[i], c[i]);
  });
}
function prepare(root, inputs) {
  const slots = layOut(root, inputs);
  const chunks = Array.from({ length: slots.count }, () => new Float64Array(CHUNK));
  const of = (x) => x === void 0 ? empty : chunks[slots.of(x)];
  const steps = slots.calls.map(({ item, args: [a, b, c] }) => ({
    loop: loopOf(item.fn),
    out: of(item),
    a: of(a),
    b: of(b),
    c: of(c)
  }));
  const result = of(root);
  return {
    chunk: CHUNK,
    inputs: chunks.slice(0, inputs),
    start: (n, params) => slots.fill(chunks, Math.min(n, CHUNK), params),
    run(n) {
      for (const { loop: loop2, out, a, b, c } of steps) loop2(out, a, b, c, n);
      return result;
    }
  };
}
function prepareFast(root, inputs) {
  const engine = float64Engine();
  const slots = layOut(root, inputs);
  if (slots.count > engine.slots.length) return prepare(root, inputs);
  const chunks = engine.slots;
  const of = (x) => x === void 0 ? 0 : slots.of(x);
  const steps = slots.calls.map(({ item, args }) => {
    const places = [of(item), of(args[0]), of(args[1]), of(args[2])];
    const step2 = engine.steps[item.fn];
    if (step2 === void 0) {
      const loop2 = loopOf(item.fn);
      const [out2, a2, b2, c2] = places.map((slot) => chunks[slot]);
      return (n) => loop2(out2, a2, b2, c2, n);
    }
    const [out, a, b, c] = places.map(engine.addressOf);
    return (n) => step2(out, a, b, c, 8 * n);
  });
  const result = chunks[slots.of(root)];
  return {
    chunk: SLOT,
    inputs: chunks.slice(0, inputs),
    start: (n, params) => slots.fill(chunks, Math.min(n, SLOT), params),
    run(n) {
      for (const step2 of steps) step2(n);
      return result;
    }
  };
}
function layOut(root, inputs) {
  const order = inOrder(root);
  const places = /* @__PURE__ */ new Map();
  let count = inputs;
  for (const item of order) places.set(item, item.kind === "input" ? item.index : count++);
  const of = (x) => places.get(x) ?? 0;
  return {
    count,
    of,
    calls: order.flatMap((item) => item.kind === "call" ? [{ item, args: item.args }] : []),
    fill(chunks, n, params) {
      for (const item of order) {
        if (item.kind === "const") chunks[of(item)].fill(item.value, 0, n);
        if (item.kind === "param") chunks[of(item)].fill(params[item.name], 0, n);
      }
    }
  };
}
var empty = new Float64Array(CHUNK);

// packages/tensor/src/ops/pointwise/print.ts
function literal(value, type) {
  if (type !== "f32") return `${value}${type === "i32" ? "i" : "u"}`;
  if (!Number.isFinite(value)) return value > 0 ? "3.4028235e38f" : "-3.4028235e38f";
  return `${Math.fround(value).toExponential()}f`;
}
function print(roots, type, input) {
  const names = /* @__PURE__ */ new Map();
  const lines2 = [];
  const helpers = /* @__PURE__ */ new Set();
  for (const item of inOrder(...roots)) {
    if (item.kind === "const") names.set(item, literal(item.value, type));
    else if (item.kind === "param") names.set(item, `P.${item.name}`);
    else {
      const name = `v${lines2.length}`;
      names.set(item, name);
      if (item.kind === "input") lines2.push(`let ${name} = ${input(item.index)};`);
      else {
        const primitive = primitives[item.fn];
        const [a, b, c] = item.args.map((arg) => names.get(arg) ?? "");
        const unsignedMinus = item.fn === "neg" && type === "u32";
        const text3 = unsignedMinus ? `(0u - ${a})` : primitive.wgsl(a, b ?? "", c ?? "");
        lines2.push(`let ${name} = ${text3};`);
        if ("helper" in primitive && primitive.helper !== void 0) helpers.add(primitive.helper);
      }
    }
  }
  return {
    lines: lines2.join("\n  "),
    results: roots.map((root) => names.get(root) ?? ""),
    helpers: [...helpers].join("\n")
  };
}

// packages/tensor/src/ops/pointwise/pointwise.ts
function pointwise(spec) {
  const names = spec.inputs.map((name) => name.replace("?", ""));
  const inputs = spec.inputs.map((name, index) => ({
    kind: "input",
    index,
    bool: name.endsWith("?")
  }));
  return build(spec, names, inputs, spec.body(inputs, param), () => {
    if (spec.derivative === void 0) return void 0;
    return spec.derivative(inputs, param);
  });
}
function param(name) {
  return { kind: "param", name };
}
function build(spec, names, inputs, body, explicit) {
  const isBool = answers(body);
  const text3 = textOf(body);
  const isQuestion = (i) => {
    const input = inputs[i];
    return input.kind === "input" && input.bool;
  };
  let plain;
  let vectors;
  let gradients;
  const gradientOps = () => {
    gradients ??= makeGradients(spec, names, inputs, body, explicit());
    return gradients;
  };
  return {
    name: spec.name,
    infer(metas, params) {
      metas.forEach((meta, i) => {
        if (isQuestion(i) !== (meta.dtype === "bool")) {
          throw new DTypeError(
            spec.name,
            `${names[i]} must be ${isQuestion(i) ? "bool" : "a number type"}, got ${meta.dtype}.`
          );
        }
        if (meta.dtype !== "bool" && !isFloat(meta.dtype) && spec.types !== "any") {
          throw new DTypeError(
            spec.name,
            `${names[i]} must be a float type, got ${meta.dtype}. Use cast first.`
          );
        }
      });
      const shape = broadcastShapes(metas.map((meta) => meta.shape));
      if (shape === void 0) {
        throw new ShapeError(
          spec.name,
          `shapes must broadcast, got ${metas.map((meta, i) => `${names[i]} ${show(meta.shape)}`).join(" and ")}.`
        );
      }
      const common = commonType(spec.name, names, metas);
      if (common === "i32" || common === "u32") checkWhole(spec.name, params, common);
      return [{ shape, dtype: isBool ? "bool" : common }];
    },
    cpu(arrays, [out], params, { fast }) {
      const exact = !fast || arrays.some((array) => array.dtype === "f64");
      if (exact) plain ??= prepare(body, inputs.length);
      else vectors ??= prepareFast(body, inputs.length);
      const program = exact ? plain : vectors;
      if (program !== void 0) runOnCpu(program, arrays, out, params);
    },
    wgsl(views, [out], params) {
      return [pointwiseKernel(text3, [body], views, [out], params)];
    },
    formula: body,
    gradient: ({ inputs: tensors, dy, attrs, needs }) => gradientOps().run(tensors, dy, attrs, needs),
    saves: () => ({ inputs: [...gradientOps().reads] }),
    flops: (_, [out]) => sizeOf(out.shape) * text3.split("(").length
  };
}
function makeGradients(spec, names, inputs, body, explicit) {
  const seed = { kind: "input", index: inputs.length, bool: false };
  const formulas = explicit === void 0 ? differentiate(body, seed, inputs.length) : explicit.map((partial) => e.mul(seed, partial));
  const ops = formulas.map((formula, i) => {
    if (formula.kind === "const" && formula.value === 0) return void 0;
    const used = [...inputsOf(formula)].sort((a, b) => a - b);
    const renumbered = new Map(
      used.map((old, index) => [
        old,
        { kind: "input", index, bool: old < inputs.length && isBoolInput(inputs[old]) }
      ])
    );
    const own2 = used.map((_, index) => renumbered.get(used[index]) ?? seed);
    const formulaOfUsed = substitute(
      formula,
      (leaf) => leaf.kind === "input" ? renumbered.get(leaf.index) ?? leaf : leaf
    );
    const op6 = build(
      { ...spec, name: `${spec.name}Gradient`, derivative: void 0 },
      used.map((old) => names[old] ?? "dy"),
      own2,
      formulaOfUsed,
      () => void 0
    );
    return { op: op6, used, i };
  });
  const reads = new Set(ops.flatMap((entry) => entry?.used.filter((index) => index < inputs.length) ?? []));
  return {
    reads,
    run(tensors, dy, params, needs) {
      return ops.map((entry, i) => {
        if (!needs[i] || entry === void 0) return void 0;
        if (entry.used.length === 1 && entry.used[0] === inputs.length && formulas[i] === seed) return dy;
        return apply(
          entry.op,
          entry.used.map((index) => index < inputs.length ? tensors[index] : dy),
          params
        )[0];
      });
    }
  };
}
function isBoolInput(x) {
  return x.kind === "input" && x.bool;
}
function answers(x) {
  return x.kind === "call" && primitives[x.fn].result === "bool";
}
function checkWhole(who, params, dtype) {
  for (const [name, value] of Object.entries(params)) {
    const held = dtype === "i32" ? value | 0 : value >>> 0;
    if (value !== held)
      throw new DTypeError(
        who,
        `${name} must be a whole number that ${dtype} holds, got ${value}. Use cast on the tensor.`
      );
  }
}
function commonType(who, names, metas) {
  const numbers = metas.map((meta, i) => ({ type: computeType(meta.dtype), name: names[i], dtype: meta.dtype })).filter(({ type }) => type !== "bool");
  const [first, ...rest] = numbers;
  if (first === void 0) return "bool";
  for (const other of rest) {
    if (other.type !== first.type) {
      throw new DTypeError(
        who,
        `dtypes must agree, got ${first.name} ${first.dtype} and ${other.name} ${other.dtype}. Use cast on one of them.`
      );
    }
  }
  return first.type;
}
function runOnCpu(program, arrays, out, params) {
  const size = sizeOf(out.shape);
  const sizes = arrays.map((array) => sizeOf(array.shape));
  const walk2 = collapse(
    out.shape,
    arrays.map((array) => broadcastStrides(array.shape, out.shape))
  );
  program.start(size, params);
  arrays.forEach(({ data }, k) => {
    if (sizes[k] === 1) program.inputs[k].fill(data[0], 0, Math.min(program.chunk, size));
  });
  for (let start = 0; start < size; start += program.chunk) {
    const n = Math.min(program.chunk, size - start);
    for (let k = 0; k < arrays.length; k++) {
      if (sizes[k] === 1) continue;
      const chunk = program.inputs[k];
      if (sizes[k] === size) readRun(chunk, 0, arrays[k].data, start, 1, n);
      else gather(chunk, arrays[k], start, n, walk2.shape, walk2.strides[k]);
    }
    write(out.data, start, program.run(n), n);
  }
}
function gather(chunk, array, start, n, shape, strides) {
  const last = shape.length - 1;
  const index = new Array(shape.length).fill(0);
  let rest = start;
  for (let axis = last; axis >= 0; axis--) {
    index[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  for (let i = 0; i < n; ) {
    let at = 0;
    for (let axis = 0; axis <= last; axis++) at += index[axis] * strides[axis];
    const run = Math.min(n - i, shape[last] - index[last]);
    readRun(chunk, i, array.data, at, strides[last], run);
    i += run;
    index[last] += run;
    for (let axis = last; axis > 0 && index[axis] === shape[axis]; axis--) {
      index[axis] = 0;
      index[axis - 1]++;
    }
  }
}
var SHORT = 32;
function readRun(chunk, i, data, at, step2, n) {
  if (step2 === 0) chunk.fill(data[at], i, i + n);
  else if (step2 === 1 && n >= SHORT) chunk.set(data.subarray(at, at + n), i);
  else for (let k = 0; k < n; k++) chunk[i + k] = data[at + k * step2];
}
function write(data, start, values, n) {
  if (data instanceof Float32Array || data instanceof Float64Array)
    data.set(n === values.length ? values : values.subarray(0, n), start);
  else for (let i = 0; i < n; i++) data[start + i] = values[i];
}
function pointwiseKernel(text3, bodies2, views, outs, params) {
  const [out] = outs;
  const size = sizeOf(out.shape);
  const walk2 = collapse(
    out.shape,
    views.map((view) => broadcastStrides(view.shape, out.shape))
  );
  const kinds = views.map(
    (view) => sizeOf(view.shape) === size ? "full" : sizeOf(view.shape) === 1 ? "one" : "strided"
  );
  const strided = views.map((_, k) => k).filter((k) => kinds[k] === "strided");
  const type = numberType(views);
  const wgslParams = Object.entries(params).map(
    ([name, value]) => [name, type, value]
  );
  if (strided.length > 0) {
    for (const [axis, dim] of walk2.shape.entries()) wgslParams.push([`d${axis}`, "u32", dim]);
    for (const k of strided)
      for (const [axis, stride] of walk2.strides[k].entries())
        wgslParams.push([`s${k}_${axis}`, "u32", stride]);
  }
  const rank = walk2.shape.length;
  return {
    key: `${text3}|${kinds.join()}|${strided.length > 0 ? rank : ""}`,
    over: "element",
    count: size,
    bindings: [
      ...views.map((view, k) => ({ name: `x${k}`, view, access: "read" })),
      ...outs.map((view, k) => ({ name: `y${k}`, view, access: "write" }))
    ],
    params: wgslParams,
    declare: () => print(bodies2, type, (k) => `x${k}`).helpers,
    main() {
      const walkLines = strided.length === 0 ? "" : indexLines(rank, strided);
      const { lines: lines2, results } = print(
        bodies2,
        type,
        (k) => `x${k}_at(${kinds[k] === "full" ? "i" : kinds[k] === "one" ? "0u" : `o${k}`})`
      );
      return `${walkLines}
  ${lines2}
  ${results.map((result, k) => `y${k}_put(i, ${result});`).join(" ")}`;
    }
  };
}
function indexLines(rank, strided) {
  const lines2 = ["var rest = i;", ...strided.map((k) => `var o${k} = 0u;`)];
  for (let axis = rank - 1; axis >= 0; axis--) {
    const index = axis === 0 ? "rest" : `rest % P.d${axis}`;
    lines2.push(`{ let c = ${index}; ${strided.map((k) => `o${k} += c * P.s${k}_${axis};`).join(" ")} }`);
    if (axis > 0) lines2.push(`rest /= P.d${axis};`);
  }
  return lines2.join("\n  ");
}
function numberType(views) {
  for (const view of views) {
    if (view.dtype === "i32") return "i32";
    if (view.dtype === "u32") return "u32";
  }
  return "f32";
}

// packages/tensor/src/ops/pointwise/binary.ts
function binary2(name, body, options = {}) {
  const both = pointwise({ name, inputs: ["a", "b"], body: ([a, b]) => body(a, b), ...options });
  const right = pointwise({ name, inputs: ["a"], body: ([a], param2) => body(a, param2("b")), ...options });
  const left = pointwise({ name, inputs: ["b"], body: ([b], param2) => body(param2("a"), b), ...options });
  const call2 = (a, b) => {
    if (typeof a !== "number")
      return typeof b === "number" ? apply(right, [a], { b })[0] : apply(both, [a, b], {})[0];
    if (typeof b !== "number") return apply(left, [b], { a })[0];
    throw new TypeError(`${name}: one operand must be a tensor, got two numbers.`);
  };
  return Object.assign(call2, { ops: [both, right, left] });
}

// packages/tensor/src/ops/add.ts
var op = binary2("add", (a, b) => e.add(a, b), { types: "any" });
function add2(a, b) {
  return op(a, b);
}

// packages/tensor/src/ops/fill.ts
var fillOp = {
  name: "fill",
  infer: (_, { shape, dtype }) => [{ shape, dtype }],
  cpu(_, [out], { value, dtype }) {
    out.data.fill(dtype === "bool" ? Number(value !== 0) : value);
  },
  wgsl: (_, [out], { value, dtype }) => [
    {
      key: dtype,
      over: "element",
      count: sizeOf(out.shape),
      bindings: [{ name: "y", view: out, access: "write" }],
      params: [["value", dtype === "i32" || dtype === "u32" ? dtype : "f32", value]],
      main: () => dtype === "bool" ? "y_put(i, P.value != 0.0f);" : "y_put(i, P.value);"
    }
  ],
  gradient: "none: a constant depends on nothing"
};
function onesLike(like, value = 1) {
  return fillOn(like.device, like, {
    shape: like.shape,
    dtype: like.dtype === "f16" || like.dtype === "bf16" ? "f32" : like.dtype,
    value
  });
}
function fillOn(device, like, attrs) {
  return applyOn(device, fillOp, [], attrs, (meta, storage, offset) => like.spawn(meta, storage, offset))[0];
}

// packages/tensor/src/ops/stridedCopy.ts
function copyOnCpu(x, out, from, to = { shape: from.shape, offset: 0, strides: stridesOf(from.shape) }) {
  const flat = collapse(from.shape, [from.strides, to.strides]);
  const [source, target] = flat.strides;
  const last = flat.shape.length - 1;
  if (sizeOf(flat.shape) === 0) return;
  if (last < 0) {
    out.data[to.offset] = x.data[from.offset];
    return;
  }
  const index = new Array(flat.shape.length).fill(0);
  const rows = sizeOf(flat.shape) / flat.shape[last];
  const n = flat.shape[last];
  const sourceStep = source[last];
  const targetStep = target[last];
  for (let row = 0; row < rows; row++) {
    let s = from.offset;
    let t = to.offset;
    for (let axis = 0; axis < last; axis++) {
      s += index[axis] * source[axis];
      t += index[axis] * target[axis];
    }
    if (sourceStep === 1 && targetStep === 1) out.data.set(x.data.subarray(s, s + n), t);
    else for (let i = 0; i < n; i++, s += sourceStep, t += targetStep) out.data[t] = x.data[s];
    for (let axis = last - 1; axis >= 0; axis--) {
      if (++index[axis] < flat.shape[axis]) break;
      index[axis] = 0;
    }
  }
}
function copyKernel(x, out, from, to) {
  const dense2 = to === void 0;
  const flat = collapse(from.shape, [from.strides, to?.strides ?? stridesOf(from.shape)]);
  const rank = flat.shape.length;
  const size = sizeOf(from.shape);
  const half = isHalf(out.dtype);
  const params = [
    ["start_x", "i32", from.offset],
    ["start_y", "i32", to?.offset ?? 0],
    ["size", "u32", size]
  ];
  for (const [axis, dim] of flat.shape.entries()) {
    params.push(
      [`d${axis}`, "u32", dim],
      [`s${axis}`, "i32", flat.strides[0][axis]],
      [`t${axis}`, "i32", flat.strides[1][axis]]
    );
  }
  return {
    key: `copy${rank}${dense2 ? "d" : ""}`,
    over: "element",
    count: half ? Math.ceil(size / 2) : size,
    bindings: [
      { name: "x", view: x, access: "read" },
      { name: "y", view: out, access: dense2 ? "write" : "update" }
    ],
    params,
    declare: () => `fn locate(k: u32) -> vec2i {
  var rest = k; var s = P.start_x; var t = P.start_y;
  ${Array.from({ length: rank }, (_, k) => rank - 1 - k).map(
      (axis) => `{ let c = i32(${axis === 0 ? "rest" : `rest % P.d${axis}`}); s += c * P.s${axis}; t += c * P.t${axis}; } ${axis === 0 ? "" : `rest /= P.d${axis};`}`
    ).join("\n  ")}
  return vec2i(s, t);
}`,
    main: () => half ? `let low = x_bits(u32(locate(2u * i).x));
  var high = 0u;
  if (2u * i + 1u < P.size) { high = x_bits(u32(locate(2u * i + 1u).x)); }
  y_buf[i] = low | (high << 16u);` : `let at = locate(i);
  y_put(u32(${dense2 ? "i" : "at.y"}), x_at(u32(at.x)));`
  };
}

// packages/tensor/src/ops/expand.ts
var expandOp = {
  name: "expand",
  raw: true,
  infer([x], { shape }) {
    if (!shape.every((dim) => Number.isInteger(dim) && dim >= 0))
      throw new ShapeError("expand", `sizes must be whole numbers, got ${show(shape)}.`);
    const joint = broadcastShapes([x.shape, shape]);
    if (joint === void 0 || !sameShape(joint, shape))
      throw new ShapeError("expand", `x ${show(x.shape)} must broadcast to ${show(shape)}.`);
    return [{ shape, dtype: x.dtype }];
  },
  cpu([x], [out], { shape }) {
    copyOnCpu(x, out, { shape, offset: 0, strides: broadcastStrides(x.shape, shape) });
  },
  wgsl: ([x], [out], { shape }) => [
    copyKernel(x, out, { shape, offset: 0, strides: broadcastStrides(x.shape, shape) })
  ],
  // The tape sums dy back to the shape of x, as for every broadcast.
  gradient: ({ dy }) => [dy],
  saves: () => ({}),
  flops: () => 0
};
function expand(x, shape) {
  if (sameShape(x.shape, shape)) return unchanged("expand", x);
  return apply(expandOp, [x], { shape })[0];
}

// packages/tensor/src/ops/permute.ts
var permuteOp = {
  name: "permute",
  raw: true,
  infer([x], { axes }) {
    const order = axes.map((axis) => resolveAxis(axis, x.shape.length));
    if (axes.length !== x.shape.length || new Set(order).size !== axes.length || order.includes(void 0)) {
      throw new ShapeError(
        "permute",
        `axes must name each axis of ${show(x.shape)} once, got ${show(axes)}.`
      );
    }
    return [{ shape: walkOf(x.shape, axes).shape, dtype: x.dtype }];
  },
  cpu([x], [out], { axes }) {
    copyOnCpu(x, out, walkOf(x.shape, axes));
  },
  wgsl: ([x], [out], { axes }) => [copyKernel(x, out, walkOf(x.shape, axes))],
  gradient({ dy, attrs: { axes } }) {
    const inverse = new Array(axes.length);
    axes.forEach((axis, i) => {
      inverse[axis < 0 ? axis + axes.length : axis] = i;
    });
    return [permute(dy, inverse)];
  },
  saves: () => ({}),
  flops: () => 0
};
function walkOf(shape, axes) {
  const strides = stridesOf(shape);
  const order = axes.map((axis) => axis < 0 ? axis + shape.length : axis);
  return { shape: order.map((axis) => shape[axis]), offset: 0, strides: order.map((axis) => strides[axis]) };
}
function permute(x, axes) {
  return apply(permuteOp, [x], { axes })[0];
}
function transpose(x, axis0 = -2, axis1 = -1) {
  const rank = x.shape.length;
  const a = resolveAxis(axis0, rank);
  const b = resolveAxis(axis1, rank);
  if (a === void 0 || b === void 0) {
    throw new ShapeError(
      "transpose",
      `axes must be in [${-rank}, ${rank}), got ${axis0} and ${axis1} for ${show(x.shape)}.`
    );
  }
  const axes = x.shape.map((_, i) => i === a ? b : i === b ? a : i);
  return permute(x, axes);
}

// packages/tensor/src/ops/axis.ts
function axisOf(who, shape, axis) {
  const at = resolveAxis(axis, shape.length);
  if (at === void 0)
    throw new ShapeError(
      who,
      `axis must be in [${-shape.length}, ${shape.length}), got ${axis} for ${show(shape)}.`
    );
  return at;
}

// packages/tensor/src/ops/reduce.ts
function reducedAxes(who, shape, axes) {
  if (axes === void 0) return shape.map((_, i) => i);
  const list2 = typeof axes === "number" ? [axes] : axes;
  const resolved = list2.map((axis) => axisOf(who, shape, axis));
  if (new Set(resolved).size !== resolved.length)
    throw new ShapeError(who, `axes must differ, got ${show(list2)}.`);
  return resolved.sort((a, b) => a - b);
}
function reducedShape(shape, axes, keepDim) {
  return keepDim ? shape.map((dim, i) => axes.includes(i) ? 1 : dim) : shape.filter((_, i) => !axes.includes(i));
}
function spanOf(shape, axes) {
  const wide = axes.filter((axis) => shape[axis] !== 1);
  if (wide.length === 0) return { outer: sizeOf(shape), n: 1, inner: 1 };
  const first = wide[0];
  const last = wide[wide.length - 1];
  for (let axis = first; axis <= last; axis++)
    if (shape[axis] !== 1 && !wide.includes(axis)) return void 0;
  return {
    outer: sizeOf(shape.slice(0, first)),
    n: sizeOf(shape.slice(first, last + 1)),
    inner: sizeOf(shape.slice(last + 1))
  };
}
var LANES = 64;
function reduceKernel(x, out, span, spec) {
  const rows = span.outer * span.inner;
  const wide = span.inner === 1 && span.n >= LANES;
  const finish = spec.finish ?? ((a) => a);
  const load = spec.load ?? ((v) => v);
  const common = {
    count: rows,
    bindings: [
      { name: "x", view: x, access: "read" },
      { name: "y", view: out, access: "write" }
    ],
    params: [
      ["n", "u32", span.n],
      ["inner", "u32", span.inner]
    ]
  };
  if (!wide) {
    return {
      ...common,
      key: `${spec.key}|row`,
      over: "element",
      main: () => `let start = (i / P.inner) * P.n * P.inner + i % P.inner;
  var sum = ${spec.start};
  for (var k = 0u; k < P.n; k++) { let v = ${load("x_at(start + k * P.inner)")}; sum = ${spec.fold("sum", "v")}; }
  y_put(i, ${finish("sum")});`
    };
  }
  return {
    ...common,
    key: `${spec.key}|tree`,
    over: "group",
    lanes: LANES,
    declare: () => `var<workgroup> partial: array<${spec.type}, ${LANES}>;`,
    main: () => `let start = group * P.n;
  var sum = ${spec.start};
  for (var k = lane; k < P.n; k += lanes) { let v = ${load("x_at(start + k)")}; sum = ${spec.fold("sum", "v")}; }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) { let a = partial[lane]; let b = partial[lane + half]; partial[lane] = ${spec.fold("a", "b")}; }
    workgroupBarrier();
  }
  if (lane == 0u) { y_put(group, ${finish("partial[0]")}); }`
  };
}

// packages/tensor/src/ops/reshape.ts
var reshapeOp = {
  name: "reshape",
  infer([x], { shape }) {
    return [{ shape: resolve(x.shape, shape), dtype: x.dtype }];
  },
  view: () => 0,
  gradient: ({ inputs: [x], dy }) => [reshape(dy, x.shape)],
  saves: () => ({})
};
function reshape(x, shape) {
  return sameShape(x.shape, shape) ? unchanged("reshape", x) : inShape(x, shape);
}
function inShape(x, shape) {
  if (sameShape(x.shape, shape)) return x;
  return apply(reshapeOp, [x], { shape })[0];
}
function resolve(from, to) {
  const size = sizeOf(from);
  const unknown = to.filter((dim) => dim === -1).length;
  const known2 = sizeOf(to.filter((dim) => dim !== -1));
  if (unknown > 1) throw new ShapeError("reshape", `at most one size may be -1, got ${show(to)}.`);
  if (to.some((dim) => dim !== -1 && !(Number.isInteger(dim) && dim >= 0))) {
    throw new ShapeError("reshape", `sizes must be whole numbers, got ${show(to)}.`);
  }
  const fits = unknown === 0 ? known2 === size : known2 > 0 && size % known2 === 0;
  if (!fits) throw new ShapeError("reshape", `${size} values of ${show(from)} do not fill ${show(to)}.`);
  return to.map((dim) => dim === -1 ? size / known2 : dim);
}

// packages/tensor/src/ops/sum.ts
var sumOp = {
  name: "sum",
  infer([x], { axes }) {
    if (!isFloat(x.dtype) && x.dtype !== "i32" && x.dtype !== "u32")
      throw new DTypeError("sum", `x must be a number type, got ${x.dtype}. Use cast first.`);
    return [{ shape: reducedShape(x.shape, axes, true), dtype: computeType(x.dtype) }];
  },
  cpu([x], [out], { span }) {
    sumOnCpu(x, out, span);
  },
  wgsl([x], [out], { span }) {
    const type = out.dtype === "i32" || out.dtype === "u32" ? out.dtype : "f32";
    return [
      reduceKernel(x, out, span, { key: "sum", type, start: `${type}(0)`, fold: (a, b) => `${a} + ${b}` })
    ];
  },
  gradient: ({ inputs: [x], dy }) => [expand(dy, x.shape)],
  saves: () => ({}),
  flops: ([x]) => sizeOf(x.shape)
};
function sumOnCpu(x, out, { outer, n, inner }) {
  const { data } = x;
  if (inner === 1) {
    for (let o = 0; o < outer; o++) {
      let total = 0;
      for (let k = o * n; k < (o + 1) * n; k++) total += data[k];
      out.data[o] = total;
    }
    return;
  }
  const totals = new Float64Array(inner);
  for (let o = 0; o < outer; o++) {
    totals.fill(0);
    for (let k = 0; k < n; k++) {
      const start = (o * n + k) * inner;
      for (let i = 0; i < inner; i++) totals[i] += data[start + i];
    }
    for (let i = 0; i < inner; i++) out.data[o * inner + i] = totals[i];
  }
}
function sum(x, axes, { keepDim = false } = {}) {
  const reduced = reducedAxes("sum", x.shape, axes);
  const shape = reducedShape(x.shape, reduced, keepDim);
  const span = spanOf(x.shape, reduced);
  if (span !== void 0) return scope(() => inShape(apply(sumOp, [x], { axes: reduced, span })[0], shape));
  const kept = x.shape.map((_, i) => i).filter((i) => !reduced.includes(i));
  const last = reduced.map((_, i) => kept.length + i);
  return scope(() => inShape(sum(permute(x, [...kept, ...reduced]), last), shape));
}
function sumTo(x, shape) {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.map((_, i) => i).filter((i) => i < lead || shape[i - lead] === 1 && x.shape[i] !== 1);
  return scope(() => inShape(sum(x, axes), shape));
}

// packages/tensor/src/autograd/tape.ts
function backward(loss, options = {}) {
  const mode = options.createGraph === true ? enableGrad : noGrad;
  mode(() => {
    scope(() => {
      for (const [variable, gradient] of walk([seedOf("backward", loss, options)], options, void 0)) {
        activeTrace()?.noteGrad(variable);
        const before = variable.grad;
        variable.grad = keep(before === void 0 ? gradient : add2(before, gradient));
        before?.dispose();
      }
    });
  });
}
function seedOf(who, loss, options) {
  loss.checkAlive(who);
  if (!loss.requiresGrad) {
    throw new GradError(
      who,
      "nothing was recorded for this tensor. It was made under noGrad, or no input had requiresGrad."
    );
  }
  if (options.gradient === void 0 && loss.size !== 1) {
    throw new GradError(
      who,
      `the loss must be a scalar, got ${show(loss.shape)}. Reduce it first, for example mean(loss).`
    );
  }
  if (options.gradient !== void 0 && !sameShape(options.gradient.shape, loss.shape)) {
    throw new ShapeError(
      who,
      `gradient must be ${show(loss.shape)}, the shape of the tensor, got ${show(options.gradient.shape)}.`
    );
  }
  return { tensor: loss, gradient: options.gradient ?? onesLike(loss) };
}
function walk(seeds, options, wanted, stop) {
  const retain = options.retainGraph ?? options.createGraph ?? false;
  const found = /* @__PURE__ */ new Map();
  for (const { tensor: tensor2, gradient } of seeds) {
    const before = found.get(tensor2.variable);
    found.set(tensor2.variable, before === void 0 ? another(gradient) : add2(before, gradient));
  }
  const kept = /* @__PURE__ */ new Map();
  const starts = seeds.map(({ tensor: tensor2 }) => tensor2.variable).filter((variable) => !stop?.has(variable));
  const nodes = [...reachable(starts, stop)].sort((a, b) => b.id - a.id);
  const useful2 = wanted === void 0 ? void 0 : leadingTo(nodes, wanted);
  for (const node of nodes) {
    const dys = node.outputs.map((output) => found.get(output.variable));
    for (const output of node.outputs) {
      const gradient = found.get(output.variable);
      if (gradient !== void 0 && wanted?.has(output.variable)) kept.set(output.variable, gradient);
    }
    if (dys.some((dy) => dy !== void 0) && (useful2 === void 0 || useful2.has(node)))
      step(node, dys, found, useful2, wanted);
    if (options.createGraph !== true) {
      for (const output of node.outputs) {
        const gradient = found.get(output.variable);
        found.delete(output.variable);
        if (!wanted?.has(output.variable)) gradient?.dispose();
      }
    }
    if (!retain) node.release();
  }
  for (const [variable, gradient] of found) {
    const isLeaf = variable.node === void 0 || stop?.has(variable) === true;
    if (isLeaf && (wanted === void 0 || wanted.has(variable))) kept.set(variable, gradient);
  }
  return kept;
}
function leadingTo(nodes, wanted) {
  const useful2 = /* @__PURE__ */ new Set();
  for (const node of [...nodes].reverse()) {
    const leads = node.inputs.some(
      ({ variable }) => wanted.has(variable) || variable.node !== void 0 && useful2.has(variable.node)
    );
    if (leads) useful2.add(node);
  }
  return useful2;
}
function step(node, dys, found, useful2, wanted) {
  node.check();
  const rule = node.op.gradient;
  if (typeof rule === "string")
    throw new GradError(node.op.name, `this op has no gradient (${rule.slice("none: ".length)}).`);
  const needs = node.inputs.map(
    ({ variable }) => variable.requiresGrad && (useful2 === void 0 || wanted?.has(variable) === true || variable.node !== void 0 && useful2.has(variable.node))
  );
  const dxs = scope(() => {
    const dy = dys[0] ?? onesLike(node.outputs[0], 0);
    const results = rule({ inputs: node.inputs, outputs: node.outputs, dys, dy, attrs: node.attrs, needs });
    const foreign = /* @__PURE__ */ new Set([...dys, ...node.inputs, ...node.outputs]);
    return node.inputs.map((input, i) => {
      const dx = results[i];
      if (!needs[i] || dx === void 0) return void 0;
      const summed = sumTo(dx, input.shape);
      const isShared = foreign.has(summed) || results.indexOf(dx) !== i;
      return isShared ? another(summed) : summed;
    });
  });
  node.inputs.forEach((input, i) => {
    const dx = dxs[i];
    if (dx === void 0) return;
    const before = found.get(input.variable);
    found.set(input.variable, before === void 0 ? dx : add2(before, dx));
    if (before === void 0 || isGradEnabled()) return;
    before.dispose();
    dx.dispose();
  });
}

// packages/tensor/src/compile/structure.ts
var version = 0;
function structureChanged() {
  version++;
}

// packages/tensor/src/formats/half.ts
var table;
function f16Table() {
  if (table !== void 0) return table;
  table = new Uint32Array(65536);
  for (let half = 0; half < 65536; half++) {
    const sign2 = (half & 32768) << 16;
    const exponent = half >>> 10 & 31;
    const fraction = half & 1023;
    if (exponent === 31) {
      table[half] = sign2 | 2139095040 | fraction << 13;
    } else if (exponent > 0) {
      table[half] = sign2 | exponent + 112 << 23 | fraction << 13;
    } else if (fraction > 0) {
      const shift = Math.clz32(fraction) - 21;
      table[half] = sign2 | 113 - shift << 23 | (fraction << shift & 1023) << 13;
    } else {
      table[half] = sign2;
    }
  }
  return table;
}
function f16ToF32(bits2, out = new Float32Array(bits2.length)) {
  checkRoom("f16ToF32", bits2.length, out.length);
  const words = wordsOf(out);
  const values = f16Table();
  for (let i = 0; i < bits2.length; i++) words[i] = values[bits2[i]];
  return out;
}
function f16Value(bits2) {
  oneWord[0] = f16Table()[bits2];
  return oneFloat[0];
}
var oneFloat = new Float32Array(1);
var oneWord = new Uint32Array(oneFloat.buffer);
function f32ToF16(values, out = new Uint16Array(values.length)) {
  checkRoom("f32ToF16", values.length, out.length);
  const words = wordsOf(values);
  for (let i = 0; i < words.length; i++) out[i] = f16BitsOf(words[i]);
  return out;
}
function f16BitsOf(word) {
  const sign2 = word >>> 16 & 32768;
  const abs = word & 2147483647;
  if (abs > 2139095040) return sign2 | 31744 | (abs >>> 13 & 1023 || 512);
  if (abs >= 1199566848) return sign2 | 31744;
  if (abs >= 947912704) {
    const rebased = abs - 939524096;
    return sign2 | rebased + 4095 + (rebased >>> 13 & 1) >>> 13;
  }
  if (abs <= 855638016) return sign2;
  const shift = 126 - (abs >>> 23);
  const mantissa = abs & 8388607 | 8388608;
  const floor = mantissa >>> shift;
  const rest = mantissa & (1 << shift) - 1;
  const half = 1 << shift - 1;
  return sign2 | floor + (rest > half || rest === half && (floor & 1) === 1 ? 1 : 0);
}
function bf16ToF32(bits2, out = new Float32Array(bits2.length)) {
  checkRoom("bf16ToF32", bits2.length, out.length);
  const words = wordsOf(out);
  for (let i = 0; i < bits2.length; i++) words[i] = bits2[i] << 16;
  return out;
}
function f32ToBf16(values, out = new Uint16Array(values.length)) {
  checkRoom("f32ToBf16", values.length, out.length);
  const words = wordsOf(values);
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const high = word >>> 16;
    if ((word & 2147483647) > 2139095040) out[i] = (high & 127) === 0 ? high | 64 : high;
    else out[i] = word + 32767 + (high & 1) >>> 16;
  }
  return out;
}
function wordsOf(values) {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
function checkRoom(name, count, room) {
  if (room < count) throw new ValueError(name, `out must have room for ${count} values, got ${room}.`);
}

// packages/tensor/src/ops/div.ts
var op2 = binary2("div", (a, b) => e.div(a, b));
function div(a, b) {
  return op2(a, b);
}

// packages/tensor/src/device/cpu/wasm/kernels.ts
var ROWS = 4;
var COLUMNS = 8;
function tilesKernel() {
  const vectors = COLUMNS / 4;
  const [a, b, y, k, rowPanels, columnPanels, pitch, pa, pb, py, end, i, j, row, factor] = range(15);
  const column = (c) => factor + 1 + c;
  const sum2 = (r, c) => factor + 1 + vectors + r * vectors + c;
  const rowsOfTile = (body) => [
    ...set(row, get(py)),
    ...range(ROWS).flatMap((r) => [...body(r), ...advance(row, get(pitch))])
  ];
  const step2 = [
    ...range(vectors).flatMap((c) => set(column(c), loadVector(get(pb), c * 16))),
    ...range(ROWS).flatMap((r) => [
      ...set(factor, loadSplat(get(pa), r * 4)),
      ...range(vectors).flatMap(
        (c) => set(sum2(r, c), addVectors(get(sum2(r, c)), mulVectors(get(factor), get(column(c)))))
      )
    ]),
    ...advance(pb, int(4 * COLUMNS))
  ];
  const tile = [
    ...rowsOfTile((r) => range(vectors).flatMap((c) => set(sum2(r, c), loadVector(get(row), c * 16)))),
    ...set(end, add(get(pa), mul(get(k), int(4 * ROWS)))),
    ...set(pb, get(b)),
    ...loop(pa, int(4 * ROWS), get(end), step2),
    ...rowsOfTile((r) => range(vectors).flatMap((c) => storeVector(get(row), get(sum2(r, c)), c * 16))),
    ...set(py, get(row))
  ];
  return {
    name: "tiles",
    params: 7,
    ints: 7,
    vectors: 1 + vectors + ROWS * vectors,
    code: [
      ...set(j, int(0)),
      ...loop(j, int(1), get(columnPanels), [
        ...set(pa, get(a)),
        ...set(py, get(y)),
        ...set(i, int(0)),
        ...loop(i, int(1), get(rowPanels), tile),
        ...advance(b, mul(get(k), int(4 * COLUMNS))),
        ...advance(y, int(4 * COLUMNS))
      ])
    ]
  };
}
function dotsKernel() {
  const [a, b, y, bytes2, groups, group, pa, pb, end, part] = range(10);
  const sum2 = (r) => part + 1 + r;
  const pairs2 = (v, w) => addVectors(shuffle(get(v), get(w), [0, 4, 1, 5]), shuffle(get(v), get(w), [2, 6, 3, 7]));
  const place = (r) => r === 0 ? get(pb) : add(place(r - 1), get(bytes2));
  return {
    name: "dots",
    params: 5,
    ints: 4,
    vectors: 5,
    code: [
      ...set(group, int(0)),
      ...loop(group, int(1), get(groups), [
        ...set(pa, get(a)),
        ...set(end, add(get(a), get(bytes2))),
        ...set(pb, get(b)),
        ...range(4).flatMap((r) => set(sum2(r), zeroVector)),
        ...loop(pa, int(16), get(end), [
          ...set(part, loadVector(get(pa))),
          ...range(4).flatMap(
            (r) => set(sum2(r), addVectors(get(sum2(r)), mulVectors(get(part), loadVector(place(r)))))
          ),
          ...advance(pb, int(16))
        ]),
        // The four sums of each row are added as a tree, which also brings the rows into one vector.
        ...set(part, pairs2(sum2(0), sum2(1))),
        ...set(sum2(0), pairs2(sum2(2), sum2(3))),
        ...storeVector(
          get(y),
          addVectors(
            shuffle(get(part), get(sum2(0)), [0, 1, 4, 5]),
            shuffle(get(part), get(sum2(0)), [2, 3, 6, 7])
          )
        ),
        ...advance(y, int(16)),
        ...advance(b, mul(get(bytes2), int(4)))
      ])
    ]
  };
}
function packRowsKernel(name, width) {
  const [from, to, depth, panels, pitch, panelBytes, p, d, source, target] = range(10);
  return {
    name,
    params: 6,
    ints: 4,
    vectors: 0,
    code: [
      ...set(p, int(0)),
      ...loop(p, int(1), get(panels), [
        ...set(source, get(from)),
        ...set(target, get(to)),
        ...set(d, int(0)),
        ...loop(d, int(1), get(depth), [
          ...range(width / 4).flatMap(
            (v) => storeVector(get(target), loadVector(get(source), v * 16), v * 16)
          ),
          ...advance(source, get(pitch)),
          ...advance(target, int(4 * width))
        ]),
        ...advance(from, int(4 * width)),
        ...advance(to, get(panelBytes))
      ])
    ]
  };
}
function packColumnsKernel(name, width) {
  const [from, to, depth, panels, pitch, panelBytes, p, d, source, target, corner, part] = range(12);
  const v = (n) => 12 + n;
  const pairs2 = (a, b, lanes) => shuffle(get(v(a)), get(v(b)), lanes);
  const low = [0, 4, 1, 5];
  const high = [2, 6, 3, 7];
  const block = [
    ...set(corner, get(source)),
    ...range(4).flatMap((r) => [...set(v(r), loadVector(get(corner))), ...advance(corner, get(pitch))]),
    ...set(v(4), pairs2(0, 1, low)),
    ...set(v(5), pairs2(2, 3, low)),
    ...set(v(6), pairs2(0, 1, high)),
    ...set(v(7), pairs2(2, 3, high)),
    ...storeVector(get(target), pairs2(4, 5, [0, 1, 4, 5])),
    ...storeVector(get(target), pairs2(4, 5, [2, 3, 6, 7]), 4 * width),
    ...storeVector(get(target), pairs2(6, 7, [0, 1, 4, 5]), 8 * width),
    ...storeVector(get(target), pairs2(6, 7, [2, 3, 6, 7]), 12 * width),
    ...advance(source, int(16)),
    ...advance(target, int(16 * width))
  ];
  return {
    name,
    params: 6,
    ints: 6,
    vectors: 8,
    code: [
      ...set(p, int(0)),
      ...loop(p, int(1), get(panels), [
        ...set(part, int(0)),
        ...loop(part, int(16), int(4 * width), [
          ...set(source, get(from)),
          ...set(target, add(get(to), get(part))),
          ...set(d, int(0)),
          ...loop(d, int(4), get(depth), block),
          ...advance(from, mul(get(pitch), int(4)))
        ]),
        ...advance(to, get(panelBytes))
      ])
    ]
  };
}
function range(count) {
  return Array.from({ length: count }, (_, i) => i);
}

// packages/tensor/src/device/cpu/wasm/matmul.ts
var DEPTH = 768;
var BLOCK_ROWS = 128;
var OUTER_ROWS = 1024;
var BLOCK_COLUMNS = 512;
var STAGE = 32768;
var SLACK = 8 * BLOCK_COLUMNS;
var stageAt = 0;
var aAt = stageAt + 4 * (STAGE + 2 * SLACK + 16 * DEPTH);
var bAt = aAt + 4 * (BLOCK_ROWS * DEPTH + SLACK);
var yAt = bAt + 4 * (BLOCK_COLUMNS * DEPTH + SLACK);
var totalBytes = yAt + 4 * (OUTER_ROWS * BLOCK_COLUMNS + SLACK);
var opened2;
function open2() {
  const bytes2 = encodeModule([
    tilesKernel(),
    dotsKernel(),
    packRowsKernel("packRows4", ROWS),
    packRowsKernel("packRows8", COLUMNS),
    packColumnsKernel("packColumns4", ROWS),
    packColumnsKernel("packColumns8", COLUMNS)
  ]);
  const { exports, buffer } = instantiate(bytes2, totalBytes);
  return { kernels: exports, memory: new Float32Array(buffer) };
}
var THIN = 5;
function multiply(a, b, y, yStart, m, n, k) {
  opened2 ??= open2();
  const engine = opened2;
  if (m <= THIN && a.column === 1 && b.row === 1 && k % 4 === 0 && 4 * k <= STAGE) {
    multiplyThin(engine, a, b, y, yStart, m, n, k);
    return;
  }
  const { kernels, memory } = engine;
  const depth = evenly(k, DEPTH);
  for (let i0 = 0; i0 < m; i0 += OUTER_ROWS) {
    const outer = Math.min(OUTER_ROWS, m - i0);
    for (let j0 = 0; j0 < n; j0 += BLOCK_COLUMNS) {
      const columns = Math.min(BLOCK_COLUMNS, n - j0);
      const columnPanels = Math.ceil(columns / COLUMNS);
      const width = columnPanels * COLUMNS;
      memory.fill(0, yAt / 4, yAt / 4 + Math.ceil(outer / ROWS) * ROWS * width);
      for (let p0 = 0; p0 < k; p0 += depth) {
        const inner = Math.min(depth, k - p0);
        packB(engine, b, p0, j0, inner, columns);
        for (let i1 = 0; i1 < outer; i1 += BLOCK_ROWS) {
          const rows = Math.min(BLOCK_ROWS, outer - i1);
          packA(engine, a, i0 + i1, p0, rows, inner);
          kernels.tiles(
            aAt,
            bAt,
            yAt + 4 * i1 * width,
            inner,
            Math.ceil(rows / ROWS),
            columnPanels,
            4 * width
          );
        }
      }
      copyOut(memory, yAt / 4, width, y, yStart + i0 * n + j0, n, outer, columns);
    }
  }
}
function multiplyThin({ kernels, memory }, a, b, y, yStart, m, n, k) {
  for (let i = 0; i < m; i++) {
    const from = a.start + i * a.row;
    memory.set(a.values.subarray(from, from + k), aAt / 4 + i * k);
  }
  const block = Math.floor(STAGE / k / 4) * 4;
  for (let j = 0; j < n; j += block) {
    const columns = Math.min(block, n - j);
    copyIn(memory, b.values, b.start + j * b.column, b.column, columns, k);
    for (let i = 0; i < m; i++) {
      kernels.dots(aAt + 4 * i * k, stageAt, yAt, 4 * k, Math.ceil(columns / 4));
      y.set(memory.subarray(yAt / 4, yAt / 4 + columns), yStart + i * n + j);
    }
  }
}
function evenly(total, limit) {
  return Math.ceil(total / Math.ceil(total / limit));
}
function packA(engine, a, row, column, rows, depth) {
  const at = a.start + row * a.row + column * a.column;
  const { packRows4, packColumns4 } = engine.kernels;
  if (a.column === 1) pack(engine.memory, packColumns4, ROWS, a.values, at, a.row, rows, depth, aAt);
  else packDeep(engine.memory, packRows4, ROWS, a.values, at, a.column, rows, depth, aAt);
}
function packB(engine, b, row, column, depth, columns) {
  const at = b.start + row * b.row + column * b.column;
  const { packRows8, packColumns8 } = engine.kernels;
  if (b.row === 1) pack(engine.memory, packColumns8, COLUMNS, b.values, at, b.column, columns, depth, bAt);
  else packDeep(engine.memory, packRows8, COLUMNS, b.values, at, b.row, columns, depth, bAt);
}
function pack(memory, kernel, width, values, at, pitch, count, depth, to) {
  const panelBytes = 4 * width * depth;
  const linesAtOnce = Math.max(width, Math.floor(STAGE / depth / width) * width);
  for (let line = 0; line < count; line += linesAtOnce) {
    const lines2 = Math.min(linesAtOnce, count - line);
    copyIn(memory, values, at + line * pitch, pitch, lines2, depth);
    kernel(stageAt, to + line / width * panelBytes, depth, Math.ceil(lines2 / width), 4 * depth, panelBytes);
  }
}
function packDeep(memory, kernel, width, values, at, pitch, count, depth, to) {
  const panels = Math.ceil(count / width);
  const linesAtOnce = Math.max(1, Math.floor(STAGE / count));
  for (let line = 0; line < depth; line += linesAtOnce) {
    const lines2 = Math.min(linesAtOnce, depth - line);
    copyIn(memory, values, at + line * pitch, pitch, lines2, count);
    kernel(stageAt, to + 4 * line * width, lines2, panels, 4 * count, 4 * width * depth);
  }
}
var SHORT2 = 48;
function copyIn(memory, values, at, pitch, lines2, length) {
  if (pitch === length) {
    memory.set(values.subarray(at, at + lines2 * length), stageAt / 4);
    return;
  }
  for (let line = 0, to = stageAt / 4; line < lines2; line++, to += length) {
    const from = at + line * pitch;
    if (length < SHORT2) for (let i = 0; i < length; i++) memory[to + i] = values[from + i];
    else memory.set(values.subarray(from, from + length), to);
  }
}
function copyOut(memory, at, width, y, start, pitch, rows, columns) {
  if (columns === width && columns === pitch) {
    y.set(memory.subarray(at, at + rows * columns), start);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const from = at + row * width;
    const to = start + row * pitch;
    if (columns < SHORT2) for (let i = 0; i < columns; i++) y[to + i] = memory[from + i];
    else y.set(memory.subarray(from, from + columns), to);
  }
}

// packages/tensor/src/ops/matmul/plan.ts
function planMatmul(a, b, { transposeA, transposeB }) {
  if (a.shape.length < 2 || b.shape.length < 2) {
    throw new ShapeError(
      "matmul",
      `a and b must have at least two axes, got ${show(a.shape)} and ${show(b.shape)}.`
    );
  }
  const [a0, a1] = a.shape.slice(-2);
  const [b0, b1] = b.shape.slice(-2);
  const m = transposeA ? a1 : a0;
  const k = transposeA ? a0 : a1;
  const kOfB = transposeB ? b1 : b0;
  const n = transposeB ? b0 : b1;
  if (k !== kOfB) {
    const remedy2 = k === (transposeB ? b0 : b1) ? ` Did you mean ${transposeB ? "b without transposeB" : "transposeB"}?` : "";
    throw new ShapeError(
      "matmul",
      `inner sizes must agree, got a ${show(a.shape)}${transposeA ? " transposed" : ""} and b ${show(b.shape)}${transposeB ? " transposed" : ""} (${k} and ${kOfB}).${remedy2}`
    );
  }
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const batchShape = broadcastShapes([batchA, batchB]);
  if (batchShape === void 0) {
    throw new ShapeError(
      "matmul",
      `batch axes must broadcast, got a ${show(a.shape)} and b ${show(b.shape)}.`
    );
  }
  const strides = [
    broadcastStrides(batchA, batchShape).map((stride) => stride * m * k),
    broadcastStrides(batchB, batchShape).map((stride) => stride * k * n)
  ];
  const flat = collapse(batchShape, strides);
  return {
    m,
    n,
    k,
    batch: flat.shape,
    batchStridesA: flat.strides[0],
    batchStridesB: flat.strides[1],
    batchShape,
    aRow: transposeA ? 1 : k,
    aCol: transposeA ? m : 1,
    bRow: transposeB ? 1 : n,
    bCol: transposeB ? k : 1
  };
}
function forEachBatch(plan, each) {
  const { batch, batchStridesA, batchStridesB } = plan;
  const index = new Array(batch.length).fill(0);
  const count = sizeOf(batch);
  for (let i = 0; i < count; i++) {
    let a = 0;
    let b = 0;
    for (let axis = 0; axis < batch.length; axis++) {
      a += index[axis] * batchStridesA[axis];
      b += index[axis] * batchStridesB[axis];
    }
    each(a, b, i * plan.m * plan.n);
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      if (++index[axis] < batch[axis]) break;
      index[axis] = 0;
    }
  }
}

// packages/tensor/src/ops/matmul/reference.ts
function matmulReference(plan, a, b, y) {
  const { m, n, k, aRow, aCol, bRow, bCol } = plan;
  const column = new Float64Array(k);
  forEachBatch(plan, (a0, b0, y0) => {
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) column[p] = b[b0 + p * bRow + j * bCol];
      for (let i = 0; i < m; i++) {
        let sum2 = 0;
        for (let p = 0, at = a0 + i * aRow; p < k; p++, at += aCol) sum2 += a[at] * column[p];
        y[y0 + i * n + j] = sum2;
      }
    }
  });
}

// packages/tensor/src/ops/matmul/fast.ts
var SMALL = 256;
function matmulFast(plan, a, b, y) {
  if (!(a instanceof Float32Array && b instanceof Float32Array && y instanceof Float32Array)) {
    matmulReference(plan, a, b, y);
    return;
  }
  const { m, n, k } = plan;
  if (m === 0 || n === 0) return;
  if (k === 0) {
    y.fill(0);
    return;
  }
  if (m * n * k <= SMALL) {
    forEachBatch(plan, (aStart, bStart, yStart) => multiplySmall(plan, a, aStart, b, bStart, y, yStart));
    return;
  }
  forEachBatch(plan, (aStart, bStart, yStart) => {
    multiply(
      { values: a, start: aStart, row: plan.aRow, column: plan.aCol },
      { values: b, start: bStart, row: plan.bRow, column: plan.bCol },
      y,
      yStart,
      m,
      n,
      k
    );
  });
}
function multiplySmall({ m, n, k, aRow, aCol, bRow, bCol }, a, aStart, b, bStart, y, yStart) {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum2 = 0;
      let pa = aStart + i * aRow;
      let pb = bStart + j * bCol;
      for (let p = 0; p < k; p++, pa += aCol, pb += bRow) sum2 += a[pa] * b[pb];
      y[yStart + i * n + j] = sum2;
    }
  }
}

// packages/tensor/src/ops/matmul/reader.ts
function dense(view) {
  return {
    read(name, aligned) {
      const four = aligned && view.offset % 4 === 0 && (view.dtype === "f32" || isHalf(view.dtype));
      return {
        key: four ? "4" : "1",
        bindings: [{ name, view, access: "read", as: four ? "vec4" : void 0 }],
        four,
        declare: () => four ? `fn ${name}_four(e: u32) -> vec4f { return ${name}_at4(e / 4u); }` : ""
      };
    },
    place: { format: view.dtype, buffers: [view.storage], start: view.offset }
  };
}
var storedOf = (source) => "read" in source ? source : dense(source);

// packages/tensor/src/ops/matmul/operand.ts
function operandOf(role, name, source, along, aligned, lanes) {
  return { role, name, along, reader: storedOf(source).read(name, aligned, lanes) };
}
var keyOf2 = ({ along, reader: reader2 }) => along[0] + reader2.key;
var isRagged = (operands) => !operands.some(({ along, reader: reader2 }) => along === "k" && reader2.four);
function declareOperands(operands, steps) {
  const ragged = !steps || isRagged(operands);
  return operands.map((operand) => declareOperand(operand, ragged)).join("\n");
}
function declareOperand({ name, along, reader: reader2 }, ragged) {
  const { four } = reader2;
  const inside = (p, last) => ragged ? `min(${p}, k - ${last})` : p;
  const orZero = (value, p, zero2) => ragged ? `select(${zero2}, ${value}, ${p} < k)` : value;
  const head = reader2.declare();
  if (along === "k") {
    const each = [0, 1, 2, 3].map(
      (c) => orZero(`${name}_at(start + ${inside(`p + ${c}u`, "1u")})`, `p + ${c}u`, "0f")
    );
    const load2 = four ? orZero(`${name}_four(start + ${inside("p", "4u")})`, "p", "vec4f()") : `vec4f(${each.join(", ")})`;
    return `${head}
fn ${name}_start(line: u32, lines: u32, stride: u32) -> u32 { return min(line, lines - 1u) * stride; }
fn ${name}_load(start: u32, p: u32, k: u32, stride: u32) -> vec4f { return ${load2}; }`;
  }
  const load = four ? `${name}_four(at)` : `vec4f(${[0, 1, 2, 3].map((c) => `${name}_at(at + ${c}u)`).join(", ")})`;
  return `${head}
fn ${name}_start(line: u32, lines: u32, stride: u32) -> u32 { return min(line, (lines - 1u) & ~3u); }
fn ${name}_load(start: u32, p: u32, k: u32, stride: u32) -> vec4f { let at = start + ${inside("p", "1u")} * stride; return ${orZero(load, "p", "vec4f()")}; }`;
}
var startOf = ({ name, role }, line) => `${role}_base + ${name}_start(${line}, ${role === "a" ? "m" : "n"}, ${role}_stride)`;
var loadOf = ({ name, role }, from, p) => `${name}_load(${from}, ${p}, k, ${role}_stride)`;
var range2 = (count) => [...Array(count).keys()];

// packages/tensor/src/ops/matmul/broadcast.wgsl.ts
function broadcastKernel(frame, { rows, lanes: size }) {
  const step2 = frame.alongB === "k" ? size : 1;
  const first = frame.alongB === "k" ? "column + sub" : "column + sub * 4u";
  return {
    key: `broadcast${size}x${rows}${frame.key}`,
    over: "group",
    lanes: size,
    subgroups: true,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => frame.declare(true),
    main: () => `${frame.head}
  let row = tile_m * ${rows}u;
  let column = tile_n * ${4 * size}u;
  ${range2(rows).map(
      (r) => range2(4).map((j) => `var y${r}_${j} = 0f;`).join(" ")
    ).join("\n  ")}
  ${frame.sum((a, b) => {
      const left = broadcastSide(a, rows, size);
      const right = laneSide(b, size);
      return `${left.starts}
  ${right.starts}
  for (var p = 0u; p < k; p += 4u) {
    ${left.loads}
    ${right.loads}
    ${range2(rows).map(
        (r) => left.use(
          r,
          (c, value) => range2(4).map((j) => `y${r}_${j} = fma(${value}, ${right.value(c, j)}, y${r}_${j});`).join(" ")
        )
      ).join("\n    ")}
  }`;
    })}
  ${range2(rows).map(
      (r) => `if (row + ${r}u < m) { ${frame.put(
        `row + ${r}u`,
        first,
        step2,
        range2(4).map((j) => `y${r}_${j}`)
      )} }`
    ).join("\n  ")}`
  };
}
function broadcastSide(operand, rows, size) {
  const blocks2 = range2(Math.ceil(rows / size));
  if (operand.along === "k") {
    const load = (i) => rows < size ? `var a${i} = vec4f(); if (sub < ${rows}u) { a${i} = ${loadOf(operand, `a_from${i}`, "p")}; }` : `let a${i} = ${loadOf(operand, `a_from${i}`, "p")};`;
    return {
      starts: blocks2.map((i) => `let a_from${i} = ${startOf(operand, `row + ${i * size}u + sub`)};`).join(" "),
      loads: blocks2.map(load).join(" "),
      use: (r, each) => `{ let t = subgroupBroadcast(a${Math.floor(r / size)}, ${r % size}u); ${range2(4).map((c) => each(c, `t[${c}]`)).join(" ")} }`
    };
  }
  const quarter = size / 4;
  return {
    starts: `let a_step = sub / ${quarter}u; ${blocks2.map((i) => `let a_from${i} = ${startOf(operand, `row + ${i * size}u + sub % ${quarter}u * 4u`)};`).join(" ")}`,
    loads: blocks2.map((i) => `let a${i} = ${loadOf(operand, `a_from${i}`, "p + a_step")};`).join(" "),
    use: (r, each) => range2(4).map((c) => {
      const lane = c * quarter + Math.floor(r % size / 4);
      const value = `subgroupBroadcast(a${Math.floor(r / size)}[${r % 4}], ${lane}u)`;
      return `{ let t = ${value}; ${each(c, "t")} }`;
    }).join(" ")
  };
}
function laneSide(operand, size) {
  if (operand.along === "k") {
    return {
      starts: range2(4).map((j) => `let b_from${j} = ${startOf(operand, `column + ${j * size}u + sub`)};`).join(" "),
      loads: range2(4).map((j) => `let b${j} = ${loadOf(operand, `b_from${j}`, "p")};`).join(" "),
      value: (c, j) => `b${j}[${c}]`
    };
  }
  return {
    starts: `let b_from = ${startOf(operand, "column + sub * 4u")};`,
    loads: range2(4).map((c) => `let b${c} = ${loadOf(operand, "b_from", `p + ${c}u`)};`).join(" "),
    value: (c, j) => `b${c}[${j}]`
  };
}

// packages/tensor/src/ops/matmul/frame.ts
function batchFrame(plan, a, b, y, form, swapped = false) {
  const { m, n, k, batch, batchStridesA, batchStridesB } = plan;
  const { rows, columns, lanes, single = false } = form;
  const [opA, opB] = operandsOf(plan, a, b, lanes, single);
  const wide = !single && !swapped && opB.along === "lines" && n % 4 === 0 && y.offset % 4 === 0;
  const tilesM = Math.ceil(m / rows);
  const tilesN = Math.ceil(n / columns);
  const strides = single ? [
    ["a_row", "u32", plan.aRow],
    ["a_col", "u32", plan.aCol],
    ["b_row", "u32", plan.bRow],
    ["b_col", "u32", plan.bCol]
  ] : [
    ["a_stride", "u32", opA.along === "k" ? plan.aRow : plan.aCol],
    ["b_stride", "u32", opB.along === "k" ? plan.bCol : plan.bRow]
  ];
  const params = [
    ["m", "u32", m],
    ["n", "u32", n],
    ["k", "u32", k],
    ...strides,
    ["tiles_m", "u32", tilesM],
    ["tiles_n", "u32", tilesN]
  ];
  const axes = range2(Math.max(1, batch.length));
  for (const axis of axes)
    params.push(
      [`d${axis}`, "u32", batch[axis] ?? 1],
      [`sa${axis}`, "u32", batchStridesA[axis] ?? 0],
      [`sb${axis}`, "u32", batchStridesB[axis] ?? 0]
    );
  const readers = [opA.reader, opB.reader];
  params.push(...readers.flatMap((reader2) => reader2.params ?? []));
  const layout = single ? readers.map(({ key }) => key) : [keyOf2(opA), keyOf2(opB)];
  return {
    key: `${layout.join("")}${wide ? "w" : ""}${swapped ? "s" : ""}b${axes.length}`,
    bindings: [
      ...readers.flatMap(({ bindings }) => bindings),
      { name: "y", view: y, access: "write", as: wide ? "vec4" : void 0 }
    ],
    params,
    tiles: tilesM * tilesN * sizeOf(batch),
    alongA: opA.along,
    alongB: opB.along,
    declare: (steps) => single ? readers.map((reader2) => reader2.declare()).join("\n") : declareOperands([opA, opB], steps),
    // Rows of tiles vary fastest, so that a tile of weights stays in the cache.
    head: `${readers.map(({ setup = "" }) => setup).join("")}let m = P.m; let n = P.n; let k = P.k;
  ${strides.map(([name]) => `let ${name} = P.${name};`).join(" ")}
  let tile_m = group % P.tiles_m;
  let tile_n = (group / P.tiles_m) % P.tiles_n;
  let matrix = group / (P.tiles_m * P.tiles_n);
  var a_base = 0u; var b_base = 0u; var rest = matrix;
  ${axes.reverse().map(
      (axis) => `{ let c = rest % P.d${axis}; a_base += c * P.sa${axis}; b_base += c * P.sb${axis}; rest /= P.d${axis}; }`
    ).join("\n  ")}
  let y_base = matrix * m * n;`,
    sum: (product3) => product3(opA, opB),
    put(row, column, step2, values) {
      if (wide && step2 === 1 && values.length === 4)
        return `{ let c = ${column}; if (c < n) { y_put4((y_base + (${row}) * n + c) / 4u, vec4f(${values.join(", ")})); } }`;
      const at = swapped ? `y_base + c * m + ${row}` : `y_base + (${row}) * n + c`;
      return values.map((value, j) => `{ let c = ${column} + ${j * step2}u; if (c < n) { y_put(${at}, ${value}); } }`).join(" ");
    }
  };
}
function operandsOf(plan, a, b, lanes, single) {
  const operand = (role, source, line, step2, batches) => {
    const along = step2 === 1 ? "k" : "lines";
    const aligned = !single && [along === "k" ? line : step2, ...batches].every((value) => value % 4 === 0);
    return operandOf(role, role, source, along, aligned, lanes);
  };
  return [
    operand("a", a, plan.aRow, plan.aCol, plan.batchStridesA),
    operand("b", b, plan.bCol, plan.bRow, plan.batchStridesB)
  ];
}

// packages/tensor/src/ops/matmul/split.wgsl.ts
var LANES2 = 64;
var SPLIT_COLUMNS = 4;
function splitKernel(frame, { rows }) {
  const R = range2(rows);
  const C = range2(SPLIT_COLUMNS);
  return {
    key: `split${rows}${frame.key}`,
    over: "group",
    lanes: LANES2,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => `${frame.declare(false)}
var<workgroup> sums: array<vec4f, ${rows * LANES2}>;`,
    main: () => `${frame.head}
  let first = tile_n * ${SPLIT_COLUMNS}u;
  ${R.map((r) => `var y${r} = vec4f();`).join(" ")}
  ${frame.sum(
      (a, b) => `${R.map((r) => `let a_from${r} = ${startOf(a, `tile_m + ${r}u`)};`).join(" ")}
  ${C.map((c) => `let b_from${c} = ${startOf(b, `first + ${c}u`)};`).join(" ")}
  for (var p = lane * 4u; p < k; p += ${LANES2 * 4}u) {
    ${C.map((c) => `let b${c} = ${loadOf(b, `b_from${c}`, "p")};`).join(" ")}
    ${R.map((r) => `{ let v = ${loadOf(a, `a_from${r}`, "p")}; y${r} += vec4f(${C.map((c) => `dot(v, b${c})`).join(", ")}); }`).join("\n    ")}
  }`
    )}
  ${R.map((r) => `sums[${r * LANES2}u + lane] = y${r};`).join(" ")}
  workgroupBarrier();
  for (var half = ${LANES2 / 2}u; half > 0u; half /= 2u) {
    if (lane < half) {
      for (var at = lane; at < ${rows * LANES2}u; at += ${LANES2}u) { sums[at] += sums[at + half]; }
    }
    workgroupBarrier();
  }
  let row = lane / ${SPLIT_COLUMNS}u;
  if (row < min(m, ${rows}u)) { ${frame.put("row", `first + lane % ${SPLIT_COLUMNS}u`, 1, [`sums[row * ${LANES2}u][lane % ${SPLIT_COLUMNS}u]`])} }`
  };
}

// packages/tensor/src/ops/matmul/tiled.wgsl.ts
var PLAIN_SIDE = 8;
function tiledKernel(frame, form) {
  const R = range2(form.rows / PLAIN_SIDE);
  const C = range2(form.columns / PLAIN_SIDE);
  return {
    key: `tiled${R.length}x${C.length}${frame.key}`,
    over: "group",
    lanes: PLAIN_SIDE * PLAIN_SIDE,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => frame.declare(false),
    main: () => `${frame.head}
  let row = tile_m * ${form.rows}u + lane / ${PLAIN_SIDE}u;
  let column = tile_n * ${form.columns}u + lane % ${PLAIN_SIDE}u;
  ${R.map((r) => C.map((c) => `var y${r}_${c} = 0.0f;`).join(" ")).join(" ")}
  ${frame.sum(
      (a, b) => `${lines(a, "row", "m", "a_row", R)}
  ${lines(b, "column", "n", "b_col", C)}
  for (var p = 0u; p < k; p++) {
    ${C.map((c) => `let b${c} = ${b.name}_at(pb${c}); pb${c} += b_row;`).join(" ")}
    ${R.map((r) => `{ let v = ${a.name}_at(pa${r}); pa${r} += a_col; ${C.map((c) => `y${r}_${c} = fma(v, b${c}, y${r}_${c});`).join(" ")} }`).join("\n    ")}
  }`
    )}
  ${R.map(
      (r) => `if (row + ${r * PLAIN_SIDE}u < m) { ${frame.put(
        `row + ${r * PLAIN_SIDE}u`,
        "column",
        PLAIN_SIDE,
        C.map((c) => `y${r}_${c}`)
      )} }`
    ).join("\n  ")}`
  };
}
var lines = ({ role }, first, limit, stride, each) => each.map(
  (i) => `var p${role}${i} = ${role}_base + min(${first} + ${i * PLAIN_SIDE}u, ${limit} - 1u) * ${stride};`
).join(" ");

// packages/tensor/src/ops/matmul/workgroup.wgsl.ts
var DEPTH2 = 16;
function workgroupKernel(frame, form) {
  const side = form.rows / 4;
  const { alongA, alongB } = frame;
  const row = lineOf("a", alongA, side);
  const step2 = alongB === "k" ? side : 1;
  return {
    key: `workgroup${side}${frame.key}`,
    over: "group",
    lanes: side * side,
    count: frame.tiles,
    bindings: frame.bindings,
    params: frame.params,
    declare: () => [frame.declare(false), memoryOf("a", alongA, side), memoryOf("b", alongB, side)].join("\n"),
    main: () => `${frame.head}
  let ty = lane / ${side}u;
  let tx = lane % ${side}u;
  ${range2(4).map(
      (r) => range2(4).map((c) => `var y${r}_${c} = 0f;`).join(" ")
    ).join(" ")}
  ${frame.sum((a, b) => {
      const left = staged(a, side);
      const right = staged(b, side);
      return `${left.starts}
  ${right.starts}
  for (var p = 0u; p < k; p += ${DEPTH2}u) {
    ${left.stage}
    ${right.stage}
    workgroupBarrier();
    for (var q = 0u; q < ${DEPTH2 / 4}u; q++) {
      ${left.loads}
      ${right.loads}
      ${range2(4).map(
        (kk) => range2(4).map(
          (r) => range2(4).map((c) => `y${r}_${c} = fma(${left.value(r, kk)}, ${right.value(c, kk)}, y${r}_${c});`).join(" ")
        ).join(" ")
      ).join("\n      ")}
    }
    workgroupBarrier();
  }`;
    })}
  ${range2(4).map(
      (r) => `{ let row = ${row(r)}; if (row < m) { ${frame.put(
        "row",
        lineOf("b", alongB, side)(0),
        step2,
        range2(4).map((c) => `y${r}_${c}`)
      )} } }`
    ).join("\n  ")}`
  };
}
function sizesOf(along, side) {
  return along === "k" ? { rows: 4 * side, perRow: DEPTH2 / 4 } : { rows: DEPTH2, perRow: side };
}
function memoryOf(role, along, side) {
  const { rows, perRow } = sizesOf(along, side);
  return `var<workgroup> ${role}_tile: array<vec4f, ${rows * (perRow + 1)}>;`;
}
function lineOf(role, along, side) {
  return (i) => `${firstOf(role, side)} + ${inTile(role, along, side, i)}`;
}
var firstOf = (role, side) => `${role === "a" ? "tile_m" : "tile_n"} * ${4 * side}u`;
function inTile(role, along, side, i) {
  const mine = role === "a" ? "ty" : "tx";
  return along === "k" && role === "b" ? `${mine} + ${i * side}u` : `${mine} * 4u + ${i}u`;
}
function staged(operand, side) {
  const { role, along } = operand;
  const slots = range2(DEPTH2 / side);
  const { perRow } = sizesOf(along, side);
  const slot = (s) => `(lane + ${s * side * side}u)`;
  const first = firstOf(role, side);
  const put = (s, value) => `${role}_tile[${slot(s)} / ${perRow}u * ${perRow + 1}u + ${slot(s)} % ${perRow}u] = ${value};`;
  const start = (s, line) => `let ${role}_from${s} = ${startOf(operand, `${first} + ${line}`)};`;
  if (along === "k") {
    return {
      starts: slots.map((s) => start(s, `${slot(s)} / ${perRow}u`)).join(" "),
      stage: slots.map((s) => put(s, loadOf(operand, `${role}_from${s}`, `p + ${slot(s)} % ${perRow}u * 4u`))).join(" "),
      loads: range2(4).map((i) => `let ${role}${i} = ${role}_tile[(${inTile(role, along, side, i)}) * ${perRow + 1}u + q];`).join(" "),
      value: (i, kk) => `${role}${i}[${kk}]`
    };
  }
  const mine = role === "a" ? "ty" : "tx";
  return {
    starts: slots.map((s) => start(s, `${slot(s)} % ${perRow}u * 4u`)).join(" "),
    stage: slots.map((s) => put(s, loadOf(operand, `${role}_from${s}`, `p + ${slot(s)} / ${perRow}u`))).join(" "),
    loads: range2(4).map((kk) => `let ${role}${kk} = ${role}_tile[(q * 4u + ${kk}u) * ${perRow + 1}u + ${mine}];`).join(" "),
    value: (i, kk) => `${role}${kk}[${i}]`
  };
}

// packages/tensor/src/ops/matmul/tiles.ts
var SMALL2 = 2 ** 15;
var FEW_TILES = 64;
var THIN2 = 16;
var isThin = ({ m, n }) => n <= THIN2 && m > n;
var table2 = [
  {
    name: "broadcast",
    takes: (_, { subgroups, subgroupSize }) => subgroups && [4, 8, 16].includes(subgroupSize),
    suits: (multiplications, { software }) => software && multiplications >= SMALL2,
    swaps: isThin,
    rows: ({ m }) => m <= 1 ? 1 : m <= 8 ? 8 : 16,
    form([extent], { subgroupSize }) {
      return { rows: this.rows(extent), columns: 4 * subgroupSize, lanes: subgroupSize };
    },
    kernel: broadcastKernel
  },
  {
    name: "split",
    takes: (extent) => (isThin(extent) ? extent.n : extent.m) <= 8 && extent.alongA === "k" && extent.alongB === "k",
    suits: (multiplications, { software }) => !software && multiplications >= SMALL2,
    swaps: isThin,
    rows: ({ m }) => m <= 1 ? 1 : m <= 2 ? 2 : m <= 4 ? 4 : 8,
    form([extent]) {
      return { rows: this.rows(extent), columns: SPLIT_COLUMNS, lanes: 0 };
    },
    kernel: splitKernel
  },
  {
    name: "workgroup",
    takes: () => true,
    suits: (multiplications, { software }) => !software && multiplications >= SMALL2,
    swaps: () => false,
    rows: () => 0,
    form(extents) {
      const large = ({ m, n, matrices }) => Math.ceil(m / 64) * Math.ceil(n / 64) * matrices;
      const tile = extents.reduce((sum2, extent) => sum2 + large(extent), 0) < FEW_TILES ? 32 : 64;
      return { rows: tile, columns: tile, lanes: 0 };
    },
    kernel: workgroupKernel
  },
  {
    name: "plain",
    takes: () => true,
    suits: () => true,
    swaps: () => false,
    rows: () => 0,
    form(extents) {
      const m = Math.max(...extents.map((extent) => extent.m));
      const n = Math.max(...extents.map((extent) => extent.n));
      const rows = m >= 8 * PLAIN_SIDE ? 8 : m > 8 ? 4 : 1;
      return { rows: rows * PLAIN_SIDE, columns: (n > 16 ? 4 : 1) * PLAIN_SIDE, lanes: 0, single: true };
    },
    kernel: tiledKernel
  }
];
var multiplicationsOf = ({ m, n, k }) => m * n * k;
function tilesFor(extent, gpu, of = multiplicationsOf(extent)) {
  const able = table2.filter((tile) => tile.takes(extent, gpu));
  const chosen = able.filter((tile) => tile.suits(of, gpu));
  return [.../* @__PURE__ */ new Set([...chosen, ...able])].map(({ name }) => name);
}
function tileFor(extent, gpu, forced, of) {
  const able = tilesFor(extent, gpu, of);
  const name = forced !== void 0 && able.includes(forced) ? forced : able[0];
  return table2.find((each) => each.name === name) ?? table2[table2.length - 1];
}
function extentOf({ m, n, k, batch, aCol, bRow }) {
  return {
    m,
    n,
    k,
    matrices: sizeOf(batch),
    alongA: aCol === 1 ? "k" : "lines",
    alongB: bRow === 1 ? "k" : "lines"
  };
}
var swappedPlan = (plan) => ({
  ...plan,
  m: plan.n,
  n: plan.m,
  batchStridesA: plan.batchStridesB,
  batchStridesB: plan.batchStridesA,
  aRow: plan.bCol,
  aCol: plan.bRow,
  bRow: plan.aCol,
  bCol: plan.aRow
});
function matmulKernel(plan, a, b, y, gpu, forced) {
  const extent = extentOf(plan);
  const tile = tileFor(extent, gpu, forced);
  if (tile.swaps(extent)) {
    const swapped = swappedPlan(plan);
    const form2 = tile.form([extentOf(swapped)], gpu);
    return tile.kernel(batchFrame(swapped, b, a, y, form2, true), form2);
  }
  const form = tile.form([extent], gpu);
  return tile.kernel(batchFrame(plan, a, b, y, form), form);
}

// packages/tensor/src/ops/matmul/matmul.ts
var matmulOp = {
  name: "matmul",
  infer([a, b], attrs) {
    const { batchShape, m, n } = planMatmul(a, b, attrs);
    return [{ shape: [...batchShape, m, n], dtype: commonType("matmul", ["a", "b"], [a, b]) }];
  },
  cpu([a, b], [y], attrs, { fast }) {
    const multiply3 = fast ? matmulFast : matmulReference;
    multiply3(planMatmul(a, b, attrs), a.data, b.data, y.data);
  },
  wgsl: ([a, b], [y], attrs, gpu) => [matmulKernel(planMatmul(a, b, attrs), a, b, y, gpu)],
  // With y = a·b: da = dy·bᵀ and db = aᵀ·dy; a transposed operand gets the transposed product. Batch axes that were
  // broadcast are summed by the tape.
  gradient({ inputs: [a, b], dy, attrs: { transposeA, transposeB }, needs }) {
    const da = !needs[0] ? void 0 : transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB);
    const db = !needs[1] ? void 0 : transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false);
    return [da, db];
  },
  flops: ([a], [y], { transposeA }) => 2 * sizeOf(y.shape) * (a.shape.at(transposeA ? -2 : -1) ?? 1)
};
function product(a, b, transposeA, transposeB) {
  return apply(matmulOp, [a, b], { transposeA, transposeB })[0];
}
function matmul(a, b, { transposeA = false, transposeB = false } = {}) {
  if (a.shape.length === 1) {
    return scope(() => {
      const y = matmul(reshape(a, [1, a.shape[0]]), b, { transposeB });
      if (b.shape.length === 1) return reshape(y, []);
      return reshape(y, [...y.shape.slice(0, -2), y.shape[y.shape.length - 1]]);
    });
  }
  if (b.shape.length === 1) {
    return scope(() => {
      const y = matmul(a, reshape(b, [b.shape[0], 1]), { transposeA });
      return reshape(y, y.shape.slice(0, -1));
    });
  }
  if (a.shape.length > 2 && b.shape.length === 2 && !transposeA) {
    const k = a.shape[a.shape.length - 1];
    return scope(() => {
      const y = product(reshape(a, [sizeOf(a.shape.slice(0, -1)), k]), b, false, transposeB);
      return reshape(y, [...a.shape.slice(0, -1), y.shape[1]]);
    });
  }
  return product(a, b, transposeA, transposeB);
}

// packages/tensor/src/ops/mean.ts
function mean(x, axes, options = {}) {
  if (!isFloat(x.dtype))
    throw new DTypeError("mean", `x must be a float type, got ${x.dtype}. Use cast first.`);
  const reduced = reducedAxes("mean", x.shape, axes);
  const count = sizeOf(reduced.map((axis) => x.shape[axis]));
  if (count === 0)
    throw new ShapeError("mean", `there must be at least one value to average, got ${show(x.shape)}.`);
  return scope(() => div(sum(x, reduced, options), count));
}

// packages/tensor/src/ops/mul.ts
var op3 = binary2("mul", (a, b) => e.mul(a, b), { types: "any" });
function mul2(a, b) {
  return op3(a, b);
}

// packages/tensor/src/ops/neg.ts
var op4 = pointwise({ name: "neg", inputs: ["x"], body: ([x]) => e.neg(x), types: "any" });
function neg(x) {
  return apply(op4, [x], {})[0];
}

// packages/tensor/src/ops/sub.ts
var op5 = binary2("sub", (a, b) => e.sub(a, b), { types: "any" });
function sub(a, b) {
  return op5(a, b);
}

// packages/tensor/src/tensor.ts
var Tensor = class _Tensor {
  shape;
  dtype;
  storage;
  /** First value, in elements from the start of the storage. */
  offset;
  /** The value's place in the record of ops. Shared by aliases of one value. */
  variable;
  /** Marks tensors for code below this file. */
  isGraftTensor = true;
  #alive = true;
  #why = "was disposed";
  /** Use `fromArray`, `zeros` and the like; this takes over one use of `storage`. */
  constructor(meta, storage, offset) {
    this.shape = meta.shape;
    this.dtype = meta.dtype;
    this.storage = storage;
    this.offset = offset;
    this.variable = { requiresGrad: false, grad: void 0, node: void 0, index: 0 };
  }
  get device() {
    return this.storage.device;
  }
  /** Number of axes. */
  get rank() {
    return this.shape.length;
  }
  /** Number of values. */
  get size() {
    return sizeOf(this.shape);
  }
  /** Bytes that the values take (a view counts its own values only). */
  get bytes() {
    return this.size * bytesPer(this.dtype);
  }
  /** True for a tensor that no recorded op made. Only leaves keep their gradient in `grad`. */
  get isLeaf() {
    return this.variable.node === void 0;
  }
  get disposed() {
    return !this.#alive;
  }
  /** Whether ops on this tensor are recorded for backward. May be set on leaves of a float type. */
  get requiresGrad() {
    return this.variable.requiresGrad;
  }
  set requiresGrad(value) {
    if (!this.isLeaf)
      throw new GradError(
        "requiresGrad",
        "only a leaf can be changed, this tensor was made by a recorded op. Use detach()."
      );
    if (value && !isFloat(this.dtype))
      throw new GradError("requiresGrad", `the dtype must be a float type, got ${this.dtype}.`);
    if (this.variable.requiresGrad !== value) structureChanged();
    this.variable.requiresGrad = value;
  }
  /** d loss / d this, filled by `backward` on leaves; same shape. */
  get grad() {
    activeTrace()?.noteGrad(this.variable);
    return this.variable.grad;
  }
  set grad(value) {
    activeTrace()?.noteGrad(this.variable);
    this.variable.grad = value;
  }
  /**
   * Fills `.grad` of every leaf that this scalar depends on, adding to what is there.
   * Frees the record unless `retainGraph`; `createGraph` records the backward pass itself, for second derivatives.
   */
  backward(options = {}) {
    backward(this, options);
  }
  /** The same values without their history; shares the storage. */
  detach() {
    this.checkAlive("detach");
    const tensor2 = new _Tensor(this, this.storage.retain(), this.offset);
    currentScope()?.addTensor(tensor2);
    return tensor2;
  }
  /** The one value of a tensor of size 1. */
  item() {
    checkReadable("item");
    return this.#item();
  }
  /** All values, row-major, in a new host array; f16 and bf16 widened to f32, bool as 0 and 1. */
  toArray() {
    checkReadable("toArray");
    return this.#array();
  }
  /** As `toArray`, but f16 and bf16 as they are stored. */
  toBits() {
    checkReadable("toBits");
    return this.#bits();
  }
  async #item() {
    if (this.size !== 1)
      throw new ShapeError("item", `the tensor must have one value, got ${show(this.shape)}. Use toArray.`);
    return (await this.#array())[0];
  }
  async #array() {
    const values = await this.#bits();
    if (!(values instanceof Uint16Array)) return values;
    return this.dtype === "f16" ? f16ToF32(values) : bf16ToF32(values);
  }
  async #bits() {
    this.checkAlive("toArray");
    checkReal("toArray", this.storage);
    return this.device.read(this);
  }
  /** A copy on another device (or this one), without history. */
  async to(device) {
    device.checkDType("to", this.dtype);
    const values = await this.toBits();
    const storage = device.allocate(this.dtype, this.size);
    device.upload(storage, values);
    const copy = new _Tensor(this, storage, 0);
    currentScope()?.addTensor(copy);
    return copy;
  }
  /** Gives the storage back. Twice is harmless; using the tensor afterwards is an error. */
  dispose() {
    if (!this.#alive) return;
    this.#alive = false;
    this.storage.release();
  }
  [Symbol.dispose]() {
    this.dispose();
  }
  toString() {
    return `Tensor(${show(this.shape)}, ${this.dtype}, ${this.device.kind}${this.requiresGrad ? ", requiresGrad" : ""})`;
  }
  add(other) {
    return add2(this, other);
  }
  sub(other) {
    return sub(this, other);
  }
  mul(other) {
    return mul2(this, other);
  }
  div(other) {
    return div(this, other);
  }
  neg() {
    return neg(this);
  }
  matmul(other) {
    return matmul(this, other);
  }
  reshape(shape) {
    return reshape(this, shape);
  }
  permute(axes) {
    return permute(this, axes);
  }
  transpose(axis0 = -2, axis1 = -1) {
    return transpose(this, axis0, axis1);
  }
  sum(axes, options) {
    return sum(this, axes, options);
  }
  mean(axes, options) {
    return mean(this, axes, options);
  }
  /** For ops: throws where the tensor cannot be read any more. */
  checkAlive(who) {
    if (!this.#alive)
      throw new DeviceError(
        who,
        `a tensor ${show(this.shape)} ${this.#why} and cannot be used. Return it from its scope, or keep() it.`
      );
  }
  /** For ops: a tensor of the same class over another storage. */
  spawn(meta, storage, offset) {
    return new _Tensor(meta, storage, offset);
  }
  /** For the tape: the same value under another handle. One that does not hold the storage cannot be read. */
  alias(holds) {
    const tensor2 = new _Tensor(this, this.storage, this.offset);
    tensor2.variable = this.variable;
    if (holds) this.storage.retain();
    else {
      tensor2.#alive = false;
      tensor2.#why = "was not saved by its op";
    }
    return tensor2;
  }
};

// packages/tensor/src/ops/cast.ts
var castOp = {
  name: "cast",
  infer: ([x], { dtype }) => [{ shape: x.shape, dtype }],
  cpu([x], [out], { dtype }) {
    const n = sizeOf(x.shape);
    const { data } = x;
    if (dtype === "bool") for (let i = 0; i < n; i++) out.data[i] = data[i] === 0 ? 0 : 1;
    else if (dtype === "i32" && x.dtype !== "u32")
      for (let i = 0; i < n; i++) out.data[i] = saturate(data[i], -2147483648, 2147483647);
    else if (dtype === "u32" && x.dtype !== "i32")
      for (let i = 0; i < n; i++) out.data[i] = saturate(data[i], 0, 4294967295);
    else out.data.set(data.subarray(0, n));
  },
  wgsl([x], [out]) {
    const n = sizeOf(x.shape);
    const half = isHalf(out.dtype);
    return [
      {
        key: "cast",
        over: "element",
        count: half ? Math.ceil(n / 2) : n,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: out, access: "write" }
        ],
        params: [["size", "u32", n]],
        declare: () => `fn load(k: u32) -> ${loaded(x.dtype)} { return x_at(k); }
${conversions[out.dtype](x.dtype)}`,
        main: () => half ? `var high = 0u;
  if (2u * i + 1u < P.size) { high = convert(load(2u * i + 1u)); }
  y_buf[i] = convert(load(2u * i)) | (high << 16u);` : "y_put(i, convert(load(i)));"
      }
    ];
  },
  // f16 and bf16 tensors have f32 gradients, as everywhere.
  gradient: ({ inputs: [x], dy }) => [cast(dy, computeType(x.dtype))],
  saves: () => ({}),
  flops: () => 0
};
function saturate(value, low, high) {
  if (Number.isNaN(value)) return 0;
  return Math.trunc(Math.min(Math.max(value, low), high));
}
var isReal = (dtype) => dtype === "f32" || isHalf(dtype);
var loaded = (dtype) => isReal(dtype) ? "f32" : dtype;
var conversions = {
  f32: (from) => `fn convert(v: ${loaded(from)}) -> f32 { return f32(v); }`,
  f64: () => "",
  bool: (from) => `fn convert(v: ${loaded(from)}) -> bool { return bool(v); }`,
  i32: (from) => isReal(from) ? "fn convert(v: f32) -> i32 { return select(i32(clamp(v, -2147483648.0f, 2147483520.0f)), 2147483647i, v >= 2147483648.0f); }" : `fn convert(v: ${from}) -> i32 { return i32(v); }`,
  u32: (from) => isReal(from) ? "fn convert(v: f32) -> u32 { return select(u32(clamp(v, 0.0f, 4294967040.0f)), 4294967295u, v >= 4294967296.0f); }" : `fn convert(v: ${from}) -> u32 { return u32(v); }`,
  f16: (from) => `fn convert(v: ${loaded(from)}) -> u32 {
  let word = bitcast<u32>(f32(v));
  let top = (word >> 16u) & 0x8000u;
  let magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return top | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return top | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    let rebased = magnitude - 0x38000000u;
    return top | ((rebased + 0xfffu + ((rebased >> 13u) & 1u)) >> 13u);
  }
  if (magnitude <= 0x33000000u) { return top; }
  let shift = 126u - (magnitude >> 23u);
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let down = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  return top | (down + select(0u, 1u, rest > middle || (rest == middle && (down & 1u) == 1u)));
}`,
  bf16: (from) => `fn convert(v: ${loaded(from)}) -> u32 {
  let word = bitcast<u32>(f32(v));
  if ((word & 0x7fffffffu) > 0x7f800000u) { return (word >> 16u) | 0x40u; }
  return (word + 0x7fffu + ((word >> 16u) & 1u)) >> 16u;
}`
};
function cast(x, dtype) {
  if (!isDType(dtype))
    throw new DTypeError(
      "cast",
      `dtype must be f32, f64, f16, bf16, i32, u32 or bool, got ${String(dtype)}.`
    );
  if (x.dtype === dtype) return unchanged("cast", x);
  return apply(castOp, [x], { dtype })[0];
}

// packages/tensor/src/ops/copyInto.ts
function checkSame(who, target, source) {
  if (!sameShape(target.shape, source.shape))
    throw new ShapeError(
      who,
      `source must have the shape of target, got target ${show(target.shape)} and source ${show(source.shape)}. Use expand.`
    );
  if (target.dtype !== source.dtype)
    throw new DTypeError(
      who,
      `source must have the type of target, got target ${target.dtype} and source ${source.dtype}. Use cast.`
    );
}
var copyOp = {
  name: "copyInto",
  raw: true,
  mutates: [0],
  infer([target, source]) {
    checkSame("copyInto", target, source);
    return [];
  },
  cpu([target, source]) {
    target.data.set(source.data.subarray(0, sizeOf(source.shape)));
  },
  wgsl([target, source]) {
    const n = sizeOf(target.shape);
    const half = isHalf(target.dtype);
    return [
      {
        key: "copyInto",
        over: "element",
        // Half types: all words that the target touches. The first and the last may belong in part to a neighbour.
        count: half ? Math.ceil((target.offset % 2 + n) / 2) : n,
        bindings: [
          { name: "y", view: target, access: "update" },
          { name: "x", view: source, access: "read" }
        ],
        params: [["size", "u32", n]],
        main: () => half ? writeWords((at) => `x_bits(${at})`) : "y_put(i, x_at(i));"
      }
    ];
  },
  gradient: "none: it changes its input",
  flops: () => 0
};
function writeWords(bits2) {
  return `let odd = P.y_off & 1u; let low = 2u * i - odd;
  var word = y_buf[(P.y_off >> 1u) + i];
  if (2u * i >= odd && low < P.size) { word = (word & 0xffff0000u) | ${bits2("low")}; }
  if (low + 1u < P.size) { word = (word & 0xffffu) | (${bits2("low + 1u")} << 16u); }
  y_buf[(P.y_off >> 1u) + i] = word;`;
}

// packages/tensor/src/create.ts
function fromArray(device, values, shape, options = {}) {
  const dtype = options.dtype ?? "f32";
  checkShape("fromArray", shape);
  if (!isDType(dtype))
    throw new DTypeError(
      "fromArray",
      `dtype must be f32, f64, f16, bf16, i32, u32 or bool, got ${String(dtype)}.`
    );
  if (values.length !== sizeOf(shape))
    throw new ShapeError(
      "fromArray",
      `${values.length} values do not fill shape ${show(shape)}, which has ${sizeOf(shape)}.`
    );
  device.checkDType("fromArray", dtype);
  return fromBits(device, encode(values, dtype), shape, { ...options, dtype });
}
function fromBits(device, values, shape, { dtype = "f32", requiresGrad = false } = {}) {
  device.checkDType("fromBits", dtype);
  checkShape("fromBits", shape);
  if (values.length !== sizeOf(shape))
    throw new ShapeError(
      "fromBits",
      `${values.length} values do not fill shape ${show(shape)}, which has ${sizeOf(shape)}.`
    );
  const storage = device.allocate(dtype, values.length);
  device.upload(storage, values);
  return own(new Tensor({ shape: [...shape], dtype }, storage, 0), requiresGrad);
}
function own(result, requiresGrad) {
  result.requiresGrad = requiresGrad;
  currentScope()?.addTensor(result);
  return result;
}
function checkShape(who, shape) {
  if (!shape.every((dim) => Number.isInteger(dim) && dim >= 0))
    throw new ShapeError(who, `sizes must be whole numbers, got ${show(shape)}.`);
}
function encode(values, dtype) {
  if (isHalf(dtype)) {
    const floats = values instanceof Float32Array ? values : Float32Array.from(values);
    return dtype === "f16" ? f32ToF16(floats) : f32ToBf16(floats);
  }
  const array = arrayOf(dtype, values.length);
  if (dtype === "bool") for (let i = 0; i < values.length; i++) array[i] = values[i] ? 1 : 0;
  else array.set(values);
  return array;
}

// packages/tensor/src/device/cpu/arrayPool.ts
var SMALLEST = 4096;
var ArrayPool = class {
  #free = /* @__PURE__ */ new Map();
  #bytes = 0;
  get bytes() {
    return this.#bytes;
  }
  /** A zeroed array. */
  take(dtype, size) {
    const list2 = this.#free.get(keyOf3(dtype, size));
    const values = list2?.pop();
    if (values === void 0) return arrayOf(dtype, size);
    this.#bytes -= values.byteLength;
    return values.fill(0);
  }
  /** Nobody else may hold `values`. */
  give(dtype, values) {
    if (values.byteLength < SMALLEST) return;
    const key = keyOf3(dtype, values.length);
    const list2 = this.#free.get(key);
    if (list2 === void 0) this.#free.set(key, [values]);
    else {
      list2.push(values);
      this.#free.delete(key);
      this.#free.set(key, list2);
    }
    this.#bytes += values.byteLength;
  }
  /** Drops arrays until at most `bytes` are held. */
  shrink(bytes2) {
    for (const [key, list2] of this.#free) {
      while (this.#bytes > bytes2) {
        const values = list2.pop();
        if (values === void 0) break;
        this.#bytes -= values.byteLength;
      }
      if (list2.length > 0) return;
      this.#free.delete(key);
    }
  }
};
function keyOf3(dtype, size) {
  return `${dtype} ${size}`;
}

// packages/tensor/src/device/cpu/replay.ts
var LoweredRun = class {
  run;
  storages;
  constructor(run) {
    this.run = run;
    this.storages = [...run.inputs, ...run.outputs].map(({ storage }) => storage);
  }
  get name() {
    return this.run.op.name;
  }
};
function cpuReplayer(device, list2, real) {
  const bind = (view) => ({ ...view, storage: real(view.storage) });
  const bound = list2.map(({ run: { op: op6, attrs, inputs, outputs } }) => {
    const [ins, outs] = [inputs.map(bind), outputs.map(bind)];
    return () => device.run(op6, ins, outs, attrs);
  });
  return {
    replay() {
      for (const run of bound) run();
    },
    dispose() {
    }
  };
}

// packages/tensor/src/device/cpu/cpuDevice.ts
var CpuStorage = class extends Storage {
  values;
  dtype;
  constructor(device, dtype, values) {
    super(device, values.byteLength);
    this.values = values;
    this.dtype = dtype;
  }
};
var CpuDevice = class {
  kind = "cpu";
  name;
  counters = {
    dispatches: 0,
    submits: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    pipelinesCreated: 0,
    readBacks: 0
  };
  relocations = 0;
  #fast;
  #maxBytes;
  #pool = new ArrayPool();
  #live = 0;
  #buffers = 0;
  #peak = 0;
  #closed = false;
  constructor(options = {}) {
    this.#fast = options.kernels !== "reference";
    this.#maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.name = this.#fast ? "CPU" : "CPU (reference kernels)";
  }
  allocate(dtype, size) {
    if (this.#closed) throw new DeviceError("cpu", "the device was closed. Open another one.");
    const wanted = size * bytesPer(dtype);
    if (this.#live + wanted > this.#maxBytes) {
      throw new OutOfMemoryError(
        "cpu",
        `${wanted} bytes do not fit: ${this.#live} of ${this.#maxBytes} are in use. Use a smaller batch or a shorter sequence.`
      );
    }
    const values = this.#pool.take(dtype, size);
    this.#live += wanted;
    this.#buffers++;
    this.#peak = Math.max(this.#peak, this.#live);
    this.#pool.shrink(this.#peak - this.#live);
    this.counters.buffersCreated++;
    return new CpuStorage(this, dtype, values);
  }
  upload(storage, values) {
    valuesOf(storage).set(values);
  }
  async read(view) {
    this.counters.readBacks++;
    const start = view.offset;
    return valuesOf(view.storage).slice(start, start + sizeOf(view.shape));
  }
  run(op6, inputs, outputs, attrs) {
    if (op6.cpu === void 0) throw internal(`${op6.name} has no CPU kernel`);
    this.counters.dispatches++;
    const raw = op6.raw === true;
    const outs = outputs.map((view) => arrayFor(view, raw, false));
    op6.cpu(
      inputs.map((view) => arrayFor(view, raw, true)),
      outs,
      attrs,
      { fast: this.#fast }
    );
    if (raw) return;
    outputs.forEach((view, i) => {
      const { data } = outs[i];
      if (view.dtype === "f16" && data instanceof Float32Array) f32ToF16(data, bitsOf(view));
      if (view.dtype === "bf16" && data instanceof Float32Array) f32ToBf16(data, bitsOf(view));
    });
  }
  copy(from, to) {
    valuesIn(to).set(valuesIn(from));
  }
  footprint(dtype, size) {
    return size * bytesPer(dtype);
  }
  bufferClass(dtype) {
    return dtype;
  }
  lower(run) {
    return [new LoweredRun(run)];
  }
  async warm() {
  }
  join() {
    return void 0;
  }
  async throttle() {
  }
  replayer(list2, real) {
    return cpuReplayer(this, list2, real);
  }
  free(storage) {
    if (!(storage instanceof CpuStorage))
      throw internal("a storage of another device was freed on the CPU device");
    if (storage.values !== void 0 && !this.#closed) this.#pool.give(storage.dtype, storage.values);
    storage.values = void 0;
    this.#live -= storage.bytes;
    this.#buffers--;
  }
  checkDType() {
  }
  memory() {
    return {
      liveBytes: this.#live,
      liveBuffers: this.#buffers,
      pooledBytes: this.#pool.bytes,
      peakBytes: this.#peak
    };
  }
  close() {
    this.#closed = true;
    this.#pool.shrink(0);
  }
};
function openCpu(options = {}) {
  return new CpuDevice(options);
}
function valuesOf(storage) {
  if (!(storage instanceof CpuStorage) || storage.values === void 0)
    throw internal("a tensor's storage is not on the CPU device or was freed");
  return storage.values;
}
function valuesIn(view) {
  const values = valuesOf(view.storage);
  const size = sizeOf(view.shape);
  if (view.offset + size > values.length)
    throw internal(`a view ${show(view.shape)} ends beyond its storage`);
  return view.offset === 0 && size === values.length ? values : values.subarray(view.offset, view.offset + size);
}
function bitsOf(view) {
  const values = valuesIn(view);
  if (!(values instanceof Uint16Array)) throw internal(`${view.dtype} values are not stored as bits`);
  return values;
}
function arrayFor(view, raw, isInput) {
  const { shape, dtype } = view;
  if (raw || !isHalf(dtype)) return { data: valuesIn(view), shape, dtype };
  if (!isInput) return { data: new Float32Array(sizeOf(shape)), shape, dtype };
  return { data: dtype === "f16" ? f16ToF32(bitsOf(view)) : bf16ToF32(bitsOf(view)), shape, dtype };
}

// packages/tensor/src/device/webgpu/shader.ts
var LANES3 = 64;
var MAX_GRID = 65535;
function paramWords(kernel) {
  return kernel.bindings.length + 1 + (kernel.params?.length ?? 0);
}
function writeParams(kernel, floats, words, start) {
  let at = start;
  for (const { view, as } of kernel.bindings) {
    const offset = view.storage.start / bytesPer(view.dtype) + view.offset;
    words[at++] = as === "vec4" ? offset / 4 : offset;
  }
  words[at++] = kernel.count;
  for (const [, type, value] of kernel.params ?? []) {
    const now = typeof value === "function" ? value() : value;
    if (type === "f32") floats[at++] = now;
    else words[at++] = now;
  }
}
function pipelineKey(op6, kernel) {
  const types = kernel.bindings.map(({ name, view, access, as = "" }) => `${name}:${view.dtype}${access[0]}${as}`).join();
  const params = (kernel.params ?? []).map(([name, type]) => name + type[0]).join();
  return `${op6}|${kernel.key}|${kernel.over}${kernel.lanes ?? LANES3}|${types}|${params}`;
}
function moduleText(kernel, mode) {
  const lanes = kernel.lanes ?? LANES3;
  const own2 = kernel.params ?? [];
  const fields = [
    ...kernel.bindings.map(({ name }) => `${name}_off: u32`),
    "count: u32",
    ...own2.map(([name, type]) => `${name}: ${type}`)
  ];
  const immediate = mode === "immediate";
  return `${kernel.subgroups ? "enable subgroups;\n" : ""}${immediate ? "requires immediate_address_space;\n" : ""}struct Params { ${fields.join(", ")} }
${immediate ? "var<immediate>" : "@group(1) @binding(0) var<uniform>"} P: Params;
${kernel.bindings.map(declareBinding).join("\n")}
const lanes = ${lanes}u;
${kernel.declare?.() ?? ""}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) graft_group: vec3u, @builtin(num_workgroups) graft_groups: vec3u, @builtin(local_invocation_index) lane: u32${kernel.subgroups ? ", @builtin(subgroup_invocation_id) sub: u32" : ""}) {
  let group = graft_group.x + graft_group.y * graft_groups.x;
  ${kernel.over === "element" ? "let i = group * lanes + lane;\n  if (i >= P.count) { return; }" : "if (group >= P.count) { return; }"}
  ${kernel.main()}
}
`;
}
function gridOf(kernel) {
  const groups = kernel.over === "element" ? Math.ceil(kernel.count / (kernel.lanes ?? LANES3)) : kernel.count;
  if (groups <= MAX_GRID) return [groups, 1];
  const rows = Math.ceil(groups / MAX_GRID);
  return [Math.ceil(groups / rows), rows];
}
function declareBinding({ name, view: { dtype }, access, as }, index) {
  if (as === "vec4") return declareVec4(name, dtype, access, index);
  const stored = storedType(dtype);
  const mode = access === "read" ? "read" : "read_write";
  const lines2 = [`@group(0) @binding(${index}) var<storage, ${mode}> ${name}_buf: array<${stored}>;`];
  if (access !== "write" || !isHalf(dtype)) lines2.push(reader(name, dtype));
  if (access !== "read") lines2.push(writer(name, dtype));
  return lines2.join("\n");
}
function declareVec4(name, dtype, access, index) {
  const mode = access === "read" ? "read" : "read_write";
  const stored = storedType(dtype);
  const at = `${name}_buf[i + P.${name}_off]`;
  if (isHalf(dtype)) {
    const wide = dtype === "f16" ? "vec4f(unpack2x16float(w.x), unpack2x16float(w.y))" : "bitcast<vec4f>(vec4u(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u))";
    return `@group(0) @binding(${index}) var<storage, ${mode}> ${name}_buf: array<vec2u>;
fn ${name}_at4(i: u32) -> vec4f { let w = ${at}; return ${wide}; }`;
  }
  const lines2 = [
    `@group(0) @binding(${index}) var<storage, ${mode}> ${name}_buf: array<vec4<${stored}>>;`,
    `fn ${name}_at4(i: u32) -> vec4<${stored}> { return ${at}; }`
  ];
  if (access !== "read") lines2.push(`fn ${name}_put4(i: u32, v: vec4<${stored}>) { ${at} = v; }`);
  return lines2.join("\n");
}
function storedType(dtype) {
  return bytesPer(dtype) === 4 && dtype !== "bool" ? dtype : "u32";
}
function reader(name, dtype) {
  const at = `${name}_buf[i + P.${name}_off]`;
  if (dtype === "bool") return `fn ${name}_at(i: u32) -> bool { return ${at} != 0u; }`;
  if (!isHalf(dtype)) return `fn ${name}_at(i: u32) -> ${dtype} { return ${at}; }`;
  const word = `let j = i + P.${name}_off; let w = ${name}_buf[j >> 1u]; let high = (j & 1u) == 1u;`;
  const value = dtype === "f16" ? "let v = unpack2x16float(w); return select(v.x, v.y, high);" : "return bitcast<f32>(select(w << 16u, w & 0xffff0000u, high));";
  return `fn ${name}_at(i: u32) -> f32 { ${word} ${value} }
fn ${name}_bits(i: u32) -> u32 { ${word} return select(w & 0xffffu, w >> 16u, high); }`;
}
function writer(name, dtype) {
  if (dtype === "bool")
    return `fn ${name}_put(i: u32, v: bool) { ${name}_buf[i + P.${name}_off] = select(0u, 1u, v); }`;
  if (!isHalf(dtype)) return `fn ${name}_put(i: u32, v: ${dtype}) { ${name}_buf[i + P.${name}_off] = v; }`;
  return "";
}

// packages/tensor/src/device/webgpu/dispatch.ts
var MOST_IMMEDIATE_WORDS = 16;
var SLOT2 = 256;
function modeOf(kernel, immediates) {
  return immediates && paramWords(kernel) <= MOST_IMMEDIATE_WORDS ? "immediate" : "uniform";
}
var Dispatch = class {
  /** The op's name, for messages and profiles. */
  op;
  kernel;
  pipeline;
  /** Of group 0, the kernel's bindings in their order. */
  layout;
  mode;
  /** The params. In uniform mode they are to be copied to a slot; group 1 is then that uniform buffer. */
  words;
  grid;
  /** Whether some params are functions, so that `refresh` can change `words`. */
  live;
  /** Of the tensors that it binds. */
  bytes;
  #floats;
  constructor(op6, kernel, pipeline, layout, mode) {
    this.op = op6;
    this.kernel = kernel;
    this.pipeline = pipeline;
    this.layout = layout;
    this.mode = mode;
    this.words = new Uint32Array(paramWords(kernel));
    this.#floats = new Float32Array(this.words.buffer);
    this.grid = gridOf(kernel);
    this.bytes = kernel.bindings.reduce(
      (sum2, { view: { shape, dtype } }) => sum2 + sizeOf(shape) * bytesPer(dtype),
      0
    );
    this.live = kernel.params?.some(([, , value]) => typeof value === "function") ?? false;
    this.refresh();
  }
  /** Asks every param again. */
  refresh() {
    writeParams(this.kernel, this.#floats, this.words, 0);
  }
  /** Records it. `slot` is where the params lie in uniform mode: a bind group of group 1 and the byte offset. */
  encode(pass, group, slot, offset = 0) {
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, group);
    if (slot === void 0) pass.setImmediates(0, this.words);
    else pass.setBindGroup(1, slot, [offset]);
    pass.dispatchWorkgroups(this.grid[0], this.grid[1]);
  }
};

// packages/tensor/src/device/webgpu/commands.ts
var MOST_UPLOADED = 2 ** 25;
var Commands = class {
  /** Sees every dispatch while it is set. */
  watcher;
  #gpu;
  #counters;
  #policy;
  #ring;
  #ringGroup;
  #slots;
  #usedSlots = 0;
  #encoder;
  #pass;
  #dispatches = 0;
  #bytes = 0;
  #uploaded = 0;
  /** @param layout - of group 1: a uniform buffer with a dynamic offset */
  constructor(gpu, counters, policy, layout) {
    this.#gpu = gpu;
    this.#counters = counters;
    this.#policy = policy;
    this.#slots = new Uint32Array(SLOT2 / 4 * policy.dispatches);
    this.#ring = gpu.createBuffer({ size: this.#slots.byteLength, usage: 64 | 8 });
    this.#ringGroup = gpu.createBindGroup({
      layout,
      entries: [{ binding: 0, resource: { buffer: this.#ring, size: SLOT2 } }]
    });
  }
  /** Records a dispatch that is run once. */
  record(dispatch, group) {
    if (dispatch.mode === "immediate") dispatch.encode(this.pass(dispatch), group);
    else {
      const offset = SLOT2 * this.#usedSlots++;
      this.#slots.set(dispatch.words, offset / 4);
      dispatch.encode(this.pass(dispatch), group, this.#ringGroup, offset);
    }
    this.count();
  }
  /** The pass to record a dispatch in. */
  pass(dispatch) {
    this.#bytes += dispatch.bytes;
    if (this.watcher !== void 0) {
      const encoder = this.encoder();
      this.#pass = encoder.beginComputePass(this.watcher.dispatched(dispatch));
    }
    if (this.#pass === void 0) {
      this.#encoder ??= this.#gpu.createCommandEncoder();
      this.#pass = this.#encoder.beginComputePass();
    }
    return this.#pass;
  }
  /** To be called after each dispatch that was recorded; submits where enough is. */
  count() {
    this.#counters.dispatches++;
    if (++this.#dispatches >= this.#policy.dispatches || this.#bytes >= this.#policy.bytes) this.flush();
  }
  /** The encoder, outside of a pass, for copies. */
  encoder() {
    this.#endPass();
    this.#encoder ??= this.#gpu.createCommandEncoder();
    return this.#encoder;
  }
  /** Copies host bytes, a multiple of 4, to the start of a buffer, after all that was recorded. */
  upload(buffer, start, { buffer: data, byteOffset, byteLength }) {
    this.flush();
    this.#gpu.queue.writeBuffer(buffer, start, data, byteOffset, byteLength);
    this.#uploaded += byteLength;
    if (this.#uploaded > MOST_UPLOADED) this.reclaim();
  }
  /** Submits what is recorded. */
  flush() {
    if (this.#encoder === void 0) return;
    this.#endPass();
    this.watcher?.flushing(this.#encoder);
    if (this.#usedSlots > 0)
      this.#gpu.queue.writeBuffer(this.#ring, 0, this.#slots, 0, this.#usedSlots * SLOT2 / 4);
    const commands = this.#encoder.finish();
    this.#encoder = void 0;
    this.#dispatches = 0;
    this.#bytes = 0;
    this.#usedSlots = 0;
    this.#uploaded = 0;
    this.#counters.submits++;
    this.#gpu.queue.submit([commands]);
  }
  /** Lets Dawn give back the memory of uploads and destroyed buffers. */
  reclaim() {
    this.#uploaded = 0;
    this.#gpu.queue.submit([]);
  }
  #endPass() {
    this.#pass?.end();
    this.#pass = void 0;
  }
};

// packages/tensor/src/device/webgpu/gpuStorage.ts
var GpuStorage = class extends Storage {
  buffer;
  /** What holds the buffer, where it is shared. */
  home;
  constructor(device, buffer, bytes2) {
    super(device, bytes2);
    this.buffer = buffer;
  }
  /** Goes to live in `home`, from byte `start` on. */
  move(home, start) {
    this.home = home.retain();
    this.buffer = home.buffer;
    this.start = start;
  }
};
function gpuStorage(storage) {
  if (!(storage instanceof GpuStorage))
    throw internal("a storage of another device came to the webgpu device");
  return storage;
}
var bufferOf = (storage) => gpuStorage(storage).buffer;

// packages/tensor/src/device/webgpu/pipelines.ts
var COMPUTE = 4;
var PipelineCache = class {
  /** Of group 1, where params are not immediates. */
  uniformLayout;
  #gpu;
  #counters;
  #immediates;
  #pipelines = /* @__PURE__ */ new Map();
  #making = /* @__PURE__ */ new Map();
  #layouts = /* @__PURE__ */ new Map();
  constructor(gpu, counters, immediates) {
    this.#gpu = gpu;
    this.#counters = counters;
    this.#immediates = immediates;
    this.uniformLayout = gpu.createBindGroupLayout({
      entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } }]
    });
  }
  get(op6, kernel) {
    const key = pipelineKey(op6, kernel);
    const known2 = this.#pipelines.get(key);
    if (known2 !== void 0) return known2;
    const { descriptor, ...rest } = this.#describe(op6, kernel);
    return this.#add(key, { ...rest, pipeline: this.#gpu.createComputePipeline(descriptor) });
  }
  /** Makes the pipeline in the background. True where it was not there yet. */
  async make(op6, kernel) {
    const key = pipelineKey(op6, kernel);
    if (this.#pipelines.has(key)) return false;
    const running = this.#making.get(key);
    if (running !== void 0) {
      await running;
      return false;
    }
    const { descriptor, ...rest } = this.#describe(op6, kernel);
    const making = this.#gpu.createComputePipelineAsync(descriptor).then((pipeline) => {
      if (!this.#pipelines.has(key)) this.#add(key, { ...rest, pipeline });
    });
    this.#making.set(key, making);
    try {
      await making;
    } finally {
      this.#making.delete(key);
    }
    return true;
  }
  #add(key, entry) {
    this.#counters.pipelinesCreated++;
    this.#pipelines.set(key, entry);
    return entry;
  }
  #describe(op6, kernel) {
    const layout = this.#layoutOf(kernel);
    const mode = modeOf(kernel, this.#immediates);
    const descriptor = {
      label: op6,
      layout: this.#gpu.createPipelineLayout(
        mode === "immediate" ? { bindGroupLayouts: [layout], immediateSize: 4 * paramWords(kernel) } : { bindGroupLayouts: [layout, this.uniformLayout] }
      ),
      compute: {
        module: this.#gpu.createShaderModule({ label: op6, code: moduleText(kernel, mode) }),
        entryPoint: "main"
      }
    };
    return { descriptor, layout, mode };
  }
  #layoutOf(kernel) {
    const pattern = kernel.bindings.map(({ access }) => access === "read" ? "r" : "w").join("");
    const known2 = this.#layouts.get(pattern);
    if (known2 !== void 0) return known2;
    const layout = this.#gpu.createBindGroupLayout({
      entries: [...pattern].map((access, binding2) => ({
        binding: binding2,
        visibility: COMPUTE,
        buffer: { type: access === "r" ? "read-only-storage" : "storage" }
      }))
    });
    this.#layouts.set(pattern, layout);
    return layout;
  }
};

// packages/tensor/src/device/webgpu/pool.ts
var BufferPool = class {
  #device;
  #counters;
  #maxBytes;
  #beforeTrim;
  #free = /* @__PURE__ */ new Map();
  pooledBytes = 0;
  liveBytes = 0;
  liveBuffers = 0;
  peakBytes = 0;
  /** `beforeTrim` must submit recorded work: it may still use buffers that were freed after it was recorded. */
  constructor(device, counters, maxBytes, beforeTrim) {
    this.#device = device;
    this.#counters = counters;
    this.#maxBytes = maxBytes;
    this.#beforeTrim = beforeTrim;
  }
  /** A buffer of at least `bytes`. Its contents are unspecified. */
  take(bytes2) {
    const size = bucket(bytes2);
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (size > most) {
      throw new OutOfMemoryError(
        "webgpu",
        `one tensor of ${bytes2} bytes does not fit, the device binds at most ${most}. Use a smaller batch, a shorter sequence or fewer bits.`
      );
    }
    const waiting2 = this.#free.get(size);
    let buffer = waiting2?.pop();
    if (buffer !== void 0) this.pooledBytes -= size;
    else {
      if (this.liveBytes + this.pooledBytes + size > this.#maxBytes) this.trim();
      if (this.liveBytes + size > this.#maxBytes) {
        throw new OutOfMemoryError(
          "webgpu",
          `${bytes2} bytes do not fit: ${this.liveBytes} of ${this.#maxBytes} are in use. Use a smaller batch or a shorter sequence.`
        );
      }
      buffer = this.#device.createBuffer({ size, usage: 128 | 4 | 8 });
      this.#counters.buffersCreated++;
    }
    this.liveBytes += size;
    this.liveBuffers++;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return buffer;
  }
  give(buffer) {
    const size = buffer.size;
    this.liveBytes -= size;
    this.liveBuffers--;
    this.pooledBytes += size;
    const waiting2 = this.#free.get(size);
    if (waiting2 === void 0) this.#free.set(size, [buffer]);
    else waiting2.push(buffer);
  }
  /** Destroys a buffer instead of keeping it. */
  drop(buffer) {
    this.liveBytes -= buffer.size;
    this.liveBuffers--;
    buffer.destroy();
  }
  /** Destroys every buffer that waits. */
  trim() {
    this.#beforeTrim();
    for (const buffers of this.#free.values()) for (const buffer of buffers) buffer.destroy();
    this.#free.clear();
    this.pooledBytes = 0;
    this.#device.queue.submit([]);
  }
};
function bucket(bytes2) {
  const size = Math.max(256, bytes2);
  const step2 = Math.max(256, 2 ** Math.floor(Math.log2(size)) / 8);
  return Math.ceil(size / step2) * step2;
}

// packages/tensor/src/device/webgpu/replay.ts
var LoweredKernel = class {
  name;
  kernel;
  storages;
  constructor(name, kernel) {
    this.name = name;
    this.kernel = kernel;
    this.storages = kernel.bindings.map(({ view }) => view.storage);
  }
};
function gpuReplayer(device, list2, real) {
  let slots = 0;
  const items = list2.map(({ name, kernel, storages }) => {
    const dispatch = device.prepare(name, kernel);
    const slot = dispatch.mode === "uniform" ? SLOT2 * slots++ : void 0;
    return { dispatch, group: device.bindGroup(dispatch, storages.map(real)), slot };
  });
  const params = slots === 0 ? void 0 : new ParamBuffer(device, items, slots);
  const live = items.filter(({ dispatch }) => dispatch.live);
  return {
    replay() {
      for (const { dispatch } of live) dispatch.refresh();
      params?.write();
      let pass;
      let pipeline;
      for (const { dispatch, group, slot } of items) {
        const now = device.pass(dispatch);
        if (now !== pass) {
          pass = now;
          pipeline = void 0;
        }
        if (dispatch.pipeline !== pipeline) {
          pipeline = dispatch.pipeline;
          now.setPipeline(pipeline);
        }
        now.setBindGroup(0, group);
        if (slot === void 0 || params === void 0) now.setImmediates(0, dispatch.words);
        else now.setBindGroup(1, params.group, [slot]);
        now.dispatchWorkgroups(dispatch.grid[0], dispatch.grid[1]);
        device.countDispatch();
      }
    },
    dispose() {
      params?.dispose();
    }
  };
}
var ParamBuffer = class {
  group;
  #device;
  #buffer;
  #items;
  #words;
  #isWritten = false;
  constructor(device, items, slots) {
    this.#device = device;
    this.#items = items.filter(({ slot }) => slot !== void 0);
    this.#words = new Uint32Array(slots * SLOT2 / 4);
    this.#buffer = device.gpu.createBuffer({ size: slots * SLOT2, usage: 64 | 8 });
    device.counters.buffersCreated++;
    this.group = device.slotGroup(this.#buffer);
  }
  /** Before each replay; does something where a param has changed. */
  write() {
    const changed = this.#isWritten ? this.#items.filter(({ dispatch }) => dispatch.live) : this.#items;
    if (changed.length === 0) return;
    for (const { dispatch, slot = 0 } of changed) this.#words.set(dispatch.words, slot / 4);
    this.#device.flush();
    this.#device.gpu.queue.writeBuffer(this.#buffer, 0, this.#words);
    this.#isWritten = true;
  }
  dispose() {
    this.#buffer.destroy();
  }
};

// packages/tensor/src/device/webgpu/staging.ts
var MOST_KEPT = 2 ** 16;
var KEPT = 8;
var Staging = class {
  #gpu;
  #counters;
  #free = [];
  constructor(gpu, counters) {
    this.#gpu = gpu;
    this.#counters = counters;
  }
  /** A buffer of at least `bytes` that can be copied to and mapped. */
  take(bytes2) {
    const at = this.#free.findIndex((buffer) => buffer.size >= bytes2);
    if (at >= 0) return this.#free.splice(at, 1)[0];
    this.#counters.buffersCreated++;
    const size = bytes2 > MOST_KEPT ? bytes2 : Math.max(256, 2 ** Math.ceil(Math.log2(bytes2)));
    return this.#gpu.createBuffer({ size, usage: 1 | 8 });
  }
  /** Gives an unmapped buffer back. */
  give(buffer) {
    if (buffer.size > MOST_KEPT || this.#free.length === KEPT) {
      buffer.destroy();
      return;
    }
    const at = this.#free.findIndex((other) => other.size > buffer.size);
    this.#free.splice(at < 0 ? this.#free.length : at, 0, buffer);
  }
};

// packages/tensor/src/device/webgpu/waiting.ts
var Waiting = class {
  #settle;
  #rejects = /* @__PURE__ */ new Set();
  #loss;
  /** @param settle - how to wait for a promise of the device */
  constructor(settle2) {
    this.#settle = settle2;
  }
  /** Why the device was lost; undefined while it works. */
  get loss() {
    return this.#loss;
  }
  /** Waits for a promise of the device, or until it is lost. */
  wait(promise) {
    return new Promise((resolve2, reject) => {
      if (this.#loss !== void 0) {
        promise.catch(() => {
        });
        reject(this.#loss);
        return;
      }
      this.#rejects.add(reject);
      this.#settle(promise).then(resolve2, reject).finally(() => this.#rejects.delete(reject));
    });
  }
  /** Rejects all that waits and will wait. Only the first loss counts. */
  lose(loss) {
    if (this.#loss !== void 0) return;
    this.#loss = loss;
    for (const reject of this.#rejects) reject(loss);
    this.#rejects.clear();
  }
};

// packages/tensor/src/device/webgpu/warm.ts
var RANGE = 256;
async function warmUp({ gpu }, pipelines, list2) {
  const made = await Promise.all(
    list2.map(
      async ({ name, kernel }) => await pipelines.make(name, kernel) ? { kernel, ...pipelines.get(name, kernel) } : void 0
    )
  );
  const fresh = made.filter((entry) => entry !== void 0);
  if (fresh.length === 0) return;
  const most = Math.max(...fresh.map(({ kernel }) => kernel.bindings.length));
  const read = gpu.createBuffer({ size: RANGE, usage: 128 });
  const written = gpu.createBuffer({ size: RANGE * most, usage: 128 });
  const slot = gpu.createBuffer({ size: SLOT2, usage: 64 });
  const slotGroup = gpu.createBindGroup({
    layout: pipelines.uniformLayout,
    entries: [{ binding: 0, resource: { buffer: slot } }]
  });
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const entry of fresh) {
    const group = gpu.createBindGroup({
      layout: entry.layout,
      entries: entry.kernel.bindings.map(({ access }, binding2) => ({
        binding: binding2,
        resource: access === "read" ? { buffer: read } : { buffer: written, offset: RANGE * binding2, size: RANGE }
      }))
    });
    pass.setPipeline(entry.pipeline);
    pass.setBindGroup(0, group);
    if (entry.mode === "uniform") pass.setBindGroup(1, slotGroup, [0]);
    else pass.setImmediates(0, new Uint32Array(paramWords(entry.kernel)));
    pass.dispatchWorkgroups(1);
  }
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  try {
    await gpu.queue.onSubmittedWorkDone();
  } finally {
    for (const buffer of [read, written, slot]) buffer.destroy();
  }
}

// packages/tensor/src/device/webgpu/gpuDevice.ts
var PART = 16;
var MOST_JOINED = 2 ** 28;
var refusals = /* @__PURE__ */ new Set(["AbortError", "OperationError", "GPUPipelineError"]);
var PAGE_FLUSH = { dispatches: 48, bytes: 2 ** 26 };
var GpuDevice = class {
  kind = "webgpu";
  name;
  counters = {
    dispatches: 0,
    submits: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    pipelinesCreated: 0,
    readBacks: 0
  };
  /** The raw device, for tools that check shaders. */
  gpu;
  #pool;
  #pipelines;
  #commands;
  #staging;
  #waiting;
  /** Resolves when the device is lost, with the error that pending reads and later calls get. */
  lost;
  /** What generators of kernels know of the adapter. */
  info;
  relocations = 0;
  #failure;
  #lose;
  /** Ends of steps that the GPU may still be at. */
  #marks = [];
  #scratch = [];
  constructor(gpu, name, options = {}, adapter) {
    this.gpu = gpu;
    this.name = name;
    this.#waiting = new Waiting(options.settle ?? ((promise) => promise));
    const maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#pool = new BufferPool(gpu, this.counters, maxBytes, () => this.flush());
    this.#pipelines = new PipelineCache(gpu, this.counters, options.immediates ?? false);
    const { uniformLayout } = this.#pipelines;
    this.#commands = new Commands(gpu, this.counters, options.flush ?? PAGE_FLUSH, uniformLayout);
    this.#staging = new Staging(gpu, this.counters);
    const subgroups = gpu.features.has("subgroups");
    const { subgroupMinSize = 0, subgroupMaxSize = 0, isFallbackAdapter = false } = adapter ?? {};
    this.info = {
      subgroups,
      subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
      software: isFallbackAdapter,
      shaderF16: gpu.features.has("shader-f16"),
      scratch: (dtype, size) => {
        const storage = this.#take(dtype, size);
        this.#scratch.push(storage);
        return { shape: [size], dtype, storage, offset: 0 };
      }
    };
    gpu.onuncapturederror = ({ error }) => {
      this.#failure ??= this.#typed(error);
    };
    let lose = () => {
    };
    this.lost = new Promise((resolve2) => {
      lose = resolve2;
    });
    this.#lose = (reason) => {
      this.#waiting.lose(new DeviceLostError(reason));
      if (this.#waiting.loss !== void 0) lose(this.#waiting.loss);
    };
    void gpu.lost.then(({ message, reason }) => this.#lose(message || reason || "unknown reason"));
  }
  /** Why the device was lost; undefined while it works. */
  get loss() {
    return this.#waiting.loss;
  }
  /** Sees every dispatch while it is set. */
  get watcher() {
    return this.#commands.watcher;
  }
  set watcher(watcher) {
    this.flush();
    this.#commands.watcher = watcher;
  }
  allocate(dtype, size) {
    return this.#take(dtype, size);
  }
  #take(dtype, size) {
    this.#checkAlive();
    const bytes2 = Math.ceil(size * bytesPer(dtype) / 4) * 4;
    const buffer = this.#pool.take(bytes2);
    if (this.#failure !== void 0) {
      this.#pool.drop(buffer);
      this.#checkAlive();
    }
    return new GpuStorage(this, buffer, bytes2);
  }
  upload(storage, values) {
    if (values.byteLength === 0) return;
    this.#checkAlive();
    const whole = values.byteLength % 4 === 0 ? values : padded(values);
    this.#commands.upload(bufferOf(storage), storage.start, whole);
  }
  async read(view) {
    const size = sizeOf(view.shape);
    const values = arrayOf(view.dtype, size);
    if (size === 0) return values;
    this.#checkAlive();
    this.counters.readBacks++;
    const start = view.storage.start + view.offset * bytesPer(view.dtype);
    const from = Math.floor(start / 4) * 4;
    const bytes2 = Math.ceil((start + values.byteLength - from) / 4) * 4;
    const staging = this.#staging.take(bytes2);
    this.#commands.encoder().copyBufferToBuffer(bufferOf(view.storage), from, staging, 0, bytes2);
    this.flush();
    try {
      await this.#wait(staging.mapAsync(1, 0, bytes2));
      const mapped = new Uint8Array(staging.getMappedRange(0, bytes2));
      new Uint8Array(values.buffer).set(mapped.subarray(start - from, start - from + values.byteLength));
      staging.unmap();
    } catch (error) {
      staging.destroy();
      throw error;
    }
    this.#staging.give(staging);
    return values;
  }
  /** Waits until everything that was queued is done. */
  async finish() {
    this.#checkAlive();
    this.flush();
    await this.#wait(this.gpu.queue.onSubmittedWorkDone());
  }
  async throttle(steps = 2) {
    this.#checkAlive();
    this.flush();
    const mark = this.#wait(this.gpu.queue.onSubmittedWorkDone());
    mark.catch(() => {
    });
    this.#marks.push(mark);
    while (this.#marks.length > steps) await this.#marks.shift();
  }
  /** Waits for a promise of the device; what is wrong with the device by then is the error. */
  async #wait(promise) {
    try {
      const value = await this.#waiting.wait(promise);
      this.#checkAlive();
      return value;
    } catch (error) {
      if (!(error instanceof Error && refusals.has(error.name))) throw error;
      await new Promise((resolve2) => setTimeout(resolve2));
      this.#checkAlive();
      throw new DeviceError("webgpu", `the device refused to go on (${error.message}). Open another one.`);
    }
  }
  run(op6, inputs, outputs, attrs) {
    this.#checkAlive();
    if (op6.wgsl === void 0) throw internal(`${op6.name} has no WGSL kernel`);
    try {
      const written = [...outputs, ...(op6.mutates ?? []).map((i) => inputs[i])];
      for (const kernel of op6.wgsl(this.#apart(inputs, written), outputs, attrs, this.info)) {
        if (kernel.count === 0) continue;
        const dispatch = this.prepare(op6.name, kernel);
        this.#commands.record(dispatch, this.bindGroup(dispatch));
      }
    } finally {
      for (const storage of this.#scratch) this.#pool.give(storage.buffer);
      this.#scratch = [];
    }
  }
  /** The pipeline, params and grid of a kernel. Throws where the device was lost. */
  prepare(op6, kernel) {
    const { pipeline, layout, mode } = this.#pipelines.get(op6, kernel);
    const dispatch = new Dispatch(op6, kernel, pipeline, layout, mode);
    if (dispatch.words.byteLength > SLOT2)
      throw internal(`${op6} has ${dispatch.words.length} params, at most ${SLOT2 / 4} fit`);
    return dispatch;
  }
  /** Group 0 of a dispatch: the whole buffers of its kernel's bindings, or of other storages in their order. */
  bindGroup({ kernel, layout }, storages = kernel.bindings.map(({ view }) => view.storage)) {
    this.counters.bindGroupsCreated++;
    return this.gpu.createBindGroup({
      layout,
      entries: storages.map((storage, binding2) => ({ binding: binding2, resource: { buffer: bufferOf(storage) } }))
    });
  }
  /** Group 1 of dispatches whose params are not immediates: slots of SLOT bytes in a uniform buffer. */
  slotGroup(buffer) {
    return this.gpu.createBindGroup({
      layout: this.#pipelines.uniformLayout,
      entries: [{ binding: 0, resource: { buffer, size: SLOT2 } }]
    });
  }
  /** The pass to record a dispatch in. Ask again for each one: counting it may submit, and a profiler wants passes of its own. */
  pass(dispatch) {
    return this.#commands.pass(dispatch);
  }
  /** To be called after each dispatch that was recorded; submits where enough is. */
  countDispatch() {
    this.#commands.count();
  }
  /**
   * Makes the pipelines of kernels in parallel and runs each new one once on nothing, since drivers compile as late as at a
   * pipeline's first dispatch.
   */
  async warm(list2) {
    this.#checkAlive();
    await this.#wait(warmUp(this, this.#pipelines, list2));
  }
  copy(from, to) {
    const per = bytesPer(from.dtype);
    const [start, end] = [from, to].map(({ storage, offset }) => storage.start + offset * per);
    const bytes2 = sizeOf(from.shape) * per;
    if (bytes2 === 0) return;
    if ([start, end].some((at) => at % 4 !== 0) || bytes2 % 4 !== 0 && to.storage.bytes < to.offset * per + bytes2 + 2) {
      this.run(copyOp, [to, from], [], null);
      return;
    }
    this.#checkAlive();
    const [source, target] = [bufferOf(from.storage), bufferOf(to.storage)];
    this.#commands.encoder().copyBufferToBuffer(source, start, target, end, Math.ceil(bytes2 / 4) * 4);
  }
  footprint(dtype, size) {
    return bucket(size * bytesPer(dtype));
  }
  bufferClass() {
    return "any";
  }
  lower({ op: op6, inputs, outputs, attrs }, scratch) {
    if (op6.wgsl === void 0) throw internal(`${op6.name} has no WGSL kernel`);
    return op6.wgsl(inputs, outputs, attrs, { ...this.info, scratch }).filter(({ count }) => count > 0).map((kernel) => new LoweredKernel(op6.name, kernel));
  }
  replayer(list2, real) {
    return gpuReplayer(this, list2, real);
  }
  /** Submits what is recorded. */
  flush() {
    this.#commands.flush();
  }
  free(storage) {
    const { home, buffer } = gpuStorage(storage);
    if (home === void 0) this.#pool.give(buffer);
    else home.release();
  }
  join(storages) {
    const parts = [...new Set(storages)].map(gpuStorage);
    const { home } = parts[0];
    if (home !== void 0 && parts.every((part) => part.home === home)) return home;
    const starts = [];
    let bytes2 = 0;
    for (const part of parts) {
      starts.push(bytes2);
      bytes2 += Math.ceil(part.bytes / PART) * PART;
    }
    const { maxStorageBufferBindingSize } = this.gpu.limits;
    if (bytes2 > Math.min(MOST_JOINED, maxStorageBufferBindingSize)) return void 0;
    const joined = this.#take("u32", bytes2 / 4);
    parts.forEach((part, i) => {
      const size = Math.ceil(part.bytes / 4) * 4;
      if (size > 0)
        this.#commands.encoder().copyBufferToBuffer(part.buffer, part.start, joined.buffer, starts[i], size);
      const { buffer, home: before } = part;
      part.move(joined, starts[i]);
      if (before === void 0) this.#pool.give(buffer);
      else before.release();
    });
    joined.release();
    this.relocations++;
    return joined;
  }
  /** The views that a kernel may read while it writes `written`: those in a shared buffer of what is written are copied first. */
  #apart(views, written) {
    const targets = new Set(written.map(({ storage }) => bufferOf(storage)));
    return views.map((view) => {
      if (gpuStorage(view.storage).home === void 0 || !targets.has(bufferOf(view.storage))) return view;
      if (written.some((target) => target === view)) return view;
      const copy = this.info.scratch(view.dtype, sizeOf(view.shape));
      this.copy(view, { ...copy, shape: view.shape });
      return { ...view, storage: copy.storage, offset: 0 };
    });
  }
  checkDType(who, dtype) {
    if (dtype === "f64")
      throw new DTypeError(
        who,
        "f64 is only on the CPU device, got a tensor on webgpu. WGSL has no double precision: use f32."
      );
  }
  memory() {
    const { liveBytes, liveBuffers, pooledBytes, peakBytes } = this.#pool;
    return { liveBytes, liveBuffers, pooledBytes, peakBytes };
  }
  close() {
    if (this.loss !== void 0) return;
    this.flush();
    this.#pool.trim();
    this.#lose("it was closed");
    this.gpu.destroy();
  }
  /** Throws where the device was lost, or once for what went wrong since the last call. */
  #checkAlive() {
    if (this.loss !== void 0) throw this.loss;
    if (this.#failure !== void 0) {
      const failure = this.#failure;
      this.#failure = void 0;
      throw failure;
    }
  }
  #typed(error) {
    if (error.constructor.name !== "GPUOutOfMemoryError") return new DeviceError("webgpu", error.message);
    const { liveBytes, liveBuffers, pooledBytes } = this.#pool;
    this.#pool.trim();
    return new OutOfMemoryError(
      "webgpu",
      `the device has no memory left: ${liveBytes} bytes in ${liveBuffers} buffers are in use, ${pooledBytes} waited to be used again and are free now (${error.message}). Use a smaller batch, a shorter sequence or fewer bits.`
    );
  }
};
function padded(values) {
  const bytes2 = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
  bytes2.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return bytes2;
}

// packages/tensor/src/device/webgpu/open.ts
var useful = ["shader-f16", "subgroups", "timestamp-query"];
async function openOn(adapter, name, options = {}, language = /* @__PURE__ */ new Set()) {
  const features = (options.features ?? useful).filter((feature) => adapter.features.has(feature));
  const limits = options.limits === "default" ? {} : {
    maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
    maxBufferSize: adapter.limits.maxBufferSize
  };
  const device = await adapter.requestDevice({
    requiredFeatures: features,
    requiredLimits: limits
  });
  const immediates = options.immediates !== false && hasImmediates(device, language);
  return new GpuDevice(device, name, { ...options, immediates }, adapter.info);
}
function hasImmediates(device, language) {
  if (!language.has("immediate_address_space") || !(device.limits.maxImmediateSize >= 64)) return false;
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.end();
  return "setImmediates" in pass;
}

// packages/tensor/src/formats/format.ts
function bytesFor(format, count) {
  if (!Number.isSafeInteger(count) || count < 0 || count % format.blockSize !== 0) {
    throw new ValueError(format.name, `count must be a multiple of ${format.blockSize}, got ${count}.`);
  }
  return count / format.blockSize * format.blockBytes;
}
function checkDecode(format, bytes2, count, out) {
  const expected = bytesFor(format, count);
  if (bytes2.length !== expected) {
    throw new ValueError(format.name, `${count} values must be ${expected} bytes, got ${bytes2.length}.`);
  }
  if (out.length < count) {
    throw new ValueError(format.name, `out must have room for ${count} values, got ${out.length}.`);
  }
}
function checkHalfFields(format, bytes2, fields) {
  checkWholeBlocks(format, bytes2);
  for (const [field, offset] of Object.entries(fields)) {
    for (let at = offset; at < bytes2.length; at += format.blockBytes) {
      if ((bytes2[at + 1] & 124) === 124) {
        const isNaN = (bytes2[at + 1] & 3) !== 0 || bytes2[at] !== 0;
        const block = Math.floor(at / format.blockBytes);
        throw new ValueError(
          format.name,
          `${field} of block ${block} must be finite, got ${isNaN ? "NaN" : "Infinity"}.`
        );
      }
    }
  }
}
function checkWholeBlocks(format, bytes2) {
  if (bytes2.length % format.blockBytes !== 0) {
    throw new ValueError(
      format.name,
      `bytes must be a multiple of ${format.blockBytes}, got ${bytes2.length}.`
    );
  }
}
function halfWords(bytes2) {
  const aligned = bytes2.byteOffset % 2 === 0 ? bytes2 : bytes2.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 1);
}
function word32(bytes2, at) {
  return (bytes2[at] | bytes2[at + 1] << 8 | bytes2[at + 2] << 16 | bytes2[at + 3] << 24) >>> 0;
}

// packages/tensor/src/formats/index.ts
var formats_exports = {};
__export(formats_exports, {
  bf16: () => bf16,
  f16: () => f16,
  f32: () => f32,
  q4_0: () => q4_0,
  q4_1: () => q4_1,
  q4_k: () => q4_k,
  q5_0: () => q5_0,
  q5_1: () => q5_1,
  q6_k: () => q6_k,
  q8_0: () => q8_0
});

// packages/tensor/src/formats/bf16.ts
var bf16 = {
  name: "bf16",
  blockSize: 1,
  blockBytes: 2,
  decode(bytes2, count, out) {
    checkDecode(bf16, bytes2, count, out);
    bf16ToF32(halfWords(bytes2), out);
  },
  validate(bytes2) {
    checkWholeBlocks(bf16, bytes2);
    for (let at = 0; at < bytes2.length; at += 2) {
      if ((bytes2[at + 1] & 127) === 127 && (bytes2[at] & 128) !== 0) {
        const isNaN = (bytes2[at] & 127) !== 0;
        throw new ValueError("bf16", `value ${at / 2} must be finite, got ${isNaN ? "NaN" : "Infinity"}.`);
      }
    }
  }
};

// packages/tensor/src/formats/f16.ts
var f16 = {
  name: "f16",
  blockSize: 1,
  blockBytes: 2,
  decode(bytes2, count, out) {
    checkDecode(f16, bytes2, count, out);
    f16ToF32(halfWords(bytes2), out);
  },
  validate(bytes2) {
    checkHalfFields(f16, bytes2, { value: 0 });
  }
};

// packages/tensor/src/formats/f32.ts
var f32 = {
  name: "f32",
  blockSize: 1,
  blockBytes: 4,
  decode(bytes2, count, out) {
    checkDecode(f32, bytes2, count, out);
    new Uint8Array(out.buffer, out.byteOffset, count * 4).set(bytes2);
  },
  validate(bytes2) {
    checkWholeBlocks(f32, bytes2);
    for (let at = 0; at < bytes2.length; at += 4) {
      if ((bytes2[at + 3] & 127) === 127 && (bytes2[at + 2] & 128) !== 0) {
        const isNaN = (bytes2[at + 2] & 127) !== 0 || bytes2[at + 1] !== 0 || bytes2[at] !== 0;
        throw new ValueError("f32", `value ${at / 4} must be finite, got ${isNaN ? "NaN" : "Infinity"}.`);
      }
    }
  }
};

// packages/tensor/src/formats/q4_0.ts
var q4_0 = {
  name: "q4_0",
  blockSize: 32,
  blockBytes: 18,
  decode(bytes2, count, out) {
    checkDecode(q4_0, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 18, to += 32) {
      const d = f16Value(bytes2[at] | bytes2[at + 1] << 8);
      for (let j = 0; j < 16; j++) {
        const pair = bytes2[at + 2 + j];
        out[to + j] = ((pair & 15) - 8) * d;
        out[to + 16 + j] = ((pair >>> 4) - 8) * d;
      }
    }
  },
  // 9 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 9u;
  let w = ${b}_word(h + 1u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  return (vec4f((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) - vec4f(8f)) * ${b}_half(h);
}`,
  validate(bytes2) {
    checkHalfFields(q4_0, bytes2, { scale: 0 });
  }
};

// packages/tensor/src/formats/q4_1.ts
var q4_1 = {
  name: "q4_1",
  blockSize: 32,
  blockBytes: 20,
  decode(bytes2, count, out) {
    checkDecode(q4_1, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 20, to += 32) {
      const d = f16Value(bytes2[at] | bytes2[at + 1] << 8);
      const m = f16Value(bytes2[at + 2] | bytes2[at + 3] << 8);
      for (let j = 0; j < 16; j++) {
        const pair = bytes2[at + 4 + j];
        out[to + j] = (pair & 15) * d + m;
        out[to + 16 + j] = (pair >>> 4) * d + m;
      }
    }
  },
  // 10 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 10u;
  let w = ${b}_word(h + 2u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  return fma(vec4f((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)), vec4f(${b}_half(h)), vec4f(${b}_half(h + 1u)));
}`,
  validate(bytes2) {
    checkHalfFields(q4_1, bytes2, { scale: 0, minimum: 2 });
  }
};

// packages/tensor/src/formats/q4_k.ts
var q4_k = {
  name: "q4_k",
  blockSize: 256,
  blockBytes: 144,
  decode(bytes2, count, out) {
    checkDecode(q4_k, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 144, to += 256) {
      const d = f16Value(bytes2[at] | bytes2[at + 1] << 8);
      const dmin = f16Value(bytes2[at + 2] | bytes2[at + 3] << 8);
      for (let part = 0; part < 8; part++) {
        const scale = d * scaleOf(bytes2, at + 4, part);
        const minimum = dmin * minimumOf(bytes2, at + 4, part);
        const nibbles2 = at + 16 + (part >>> 1) * 32;
        const shift = (part & 1) * 4;
        for (let j = 0; j < 32; j++)
          out[to + part * 32 + j] = (bytes2[nibbles2 + j] >>> shift & 15) * scale - minimum;
      }
    }
  },
  // 36 words a block: one of scales, three of pairs, 32 of nibbles.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let at = (e >> 8u) * 36u;
  let part = (e >> 5u) & 7u;
  let shift = (part & 3u) << 3u;
  let x = (${b}_blocks_at(at + 1u) >> shift) & 255u;
  let y = (${b}_blocks_at(at + 2u) >> shift) & 255u;
  let z = (${b}_blocks_at(at + 3u) >> shift) & 255u;
  let s = select((z & 15u) | ((x >> 6u) << 4u), x & 63u, part < 4u);
  let m = select((z >> 4u) | ((y >> 6u) << 4u), y & 63u, part < 4u);
  let w = ${b}_blocks_at(at + 4u + ((part >> 1u) << 3u) + ((e & 31u) >> 2u)) >> ((part & 1u) << 2u);
  let d = unpack2x16float(${b}_blocks_at(at));
  return fma(vec4f((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)), vec4f(d.x * f32(s)), vec4f(-(d.y * f32(m))));
}`,
  validate(bytes2) {
    checkHalfFields(q4_k, bytes2, { scale: 0, "scale of the minima": 2 });
  }
};
function scaleOf(bytes2, at, j) {
  return j < 4 ? bytes2[at + j] & 63 : bytes2[at + j + 4] & 15 | bytes2[at + j - 4] >>> 6 << 4;
}
function minimumOf(bytes2, at, j) {
  return j < 4 ? bytes2[at + j + 4] & 63 : bytes2[at + j + 4] >>> 4 | bytes2[at + j] >>> 6 << 4;
}

// packages/tensor/src/formats/q5_0.ts
var q5_0 = {
  name: "q5_0",
  blockSize: 32,
  blockBytes: 22,
  decode(bytes2, count, out) {
    checkDecode(q5_0, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 22, to += 32) {
      const d = f16Value(bytes2[at] | bytes2[at + 1] << 8);
      const high = word32(bytes2, at + 2);
      for (let j = 0; j < 16; j++) {
        const pair = bytes2[at + 6 + j];
        out[to + j] = ((pair & 15 | (high >>> j & 1) << 4) - 16) * d;
        out[to + 16 + j] = ((pair >>> 4 | (high >>> j + 16 & 1) << 4) - 16) * d;
      }
    }
  },
  // 11 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 11u;
  let w = ${b}_word(h + 3u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  let fifth = (vec4u(${b}_word(h + 1u) >> (e & 31u)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  let q = ((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) | (fifth << vec4u(4u));
  return (vec4f(q) - vec4f(16f)) * ${b}_half(h);
}`,
  validate(bytes2) {
    checkHalfFields(q5_0, bytes2, { scale: 0 });
  }
};

// packages/tensor/src/formats/q5_1.ts
var q5_1 = {
  name: "q5_1",
  blockSize: 32,
  blockBytes: 24,
  decode(bytes2, count, out) {
    checkDecode(q5_1, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 24, to += 32) {
      const d = f16Value(bytes2[at] | bytes2[at + 1] << 8);
      const m = f16Value(bytes2[at + 2] | bytes2[at + 3] << 8);
      const high = word32(bytes2, at + 4);
      for (let j = 0; j < 16; j++) {
        const pair = bytes2[at + 8 + j];
        out[to + j] = (pair & 15 | (high >>> j & 1) << 4) * d + m;
        out[to + 16 + j] = (pair >>> 4 | (high >>> j + 16 & 1) << 4) * d + m;
      }
    }
  },
  // 12 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 12u;
  let w = ${b}_word(h + 4u + ((e & 15u) >> 1u)) >> ((e & 16u) >> 2u);
  let fifth = (vec4u(${b}_word(h + 2u) >> (e & 31u)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  let q = ((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) | (fifth << vec4u(4u));
  return fma(vec4f(q), vec4f(${b}_half(h)), vec4f(${b}_half(h + 1u)));
}`,
  validate(bytes2) {
    checkHalfFields(q5_1, bytes2, { scale: 0, minimum: 2 });
  }
};

// packages/tensor/src/formats/q6_k.ts
var q6_k = {
  name: "q6_k",
  blockSize: 256,
  blockBytes: 210,
  decode(bytes2, count, out) {
    checkDecode(q6_k, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 210, to += 256) {
      const d = f16Value(bytes2[at + 208] | bytes2[at + 209] << 8);
      for (let part = 0; part < 8; part++) {
        const half = part >>> 2;
        const quarter = part & 3;
        const low = at + half * 64 + (quarter & 1) * 32;
        const high = at + 128 + half * 32;
        const scales = at + 192 + part * 2;
        for (let l = 0; l < 32; l++) {
          const nibble2 = bytes2[low + l] >>> (quarter >>> 1) * 4 & 15;
          const pair = bytes2[high + l] >>> quarter * 2 & 3;
          const scale = bytes2[scales + (l >>> 4)] << 24 >> 24;
          out[to + part * 32 + l] = d * scale * ((nibble2 | pair << 4) - 32);
        }
      }
    }
  },
  // 105 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 8u) * 105u;
  let part = (e >> 5u) & 7u;
  let side = part >> 2u;
  let quarter = part & 3u;
  let l = (e & 31u) >> 1u;
  let low = ${b}_word(h + side * 32u + (quarter & 1u) * 16u + l) >> ((quarter >> 1u) << 2u);
  let high = ${b}_word(h + 64u + side * 16u + l) >> (quarter << 1u);
  let q = ((vec4u(low) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) | (((vec4u(high) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(3u)) << vec4u(4u));
  let place = (part << 1u) + (l >> 3u);
  let s = extractBits(bitcast<i32>(${b}_word(h + 96u + (place >> 1u))), (place & 1u) << 3u, 8u);
  return (vec4f(q) - vec4f(32f)) * (${b}_half(h + 104u) * f32(s));
}`,
  validate(bytes2) {
    checkHalfFields(q6_k, bytes2, { scale: 208 });
  }
};

// packages/tensor/src/formats/q8_0.ts
var q8_0 = {
  name: "q8_0",
  blockSize: 32,
  blockBytes: 34,
  decode(bytes2, count, out) {
    checkDecode(q8_0, bytes2, count, out);
    for (let at = 0, to = 0; to < count; at += 34, to += 32) {
      const d = f16Value(bytes2[at] | bytes2[at + 1] << 8);
      for (let j = 0; j < 32; j++) out[to + j] = (bytes2[at + 2 + j] << 24 >> 24) * d;
    }
  },
  // 17 half words a block.
  wgsl: (b) => `fn ${b}_four(e: u32) -> vec4f {
  let h = (e >> 5u) * 17u;
  let w = bitcast<i32>(${b}_word(h + 1u + ((e & 31u) >> 1u)));
  return vec4f((vec4i(w) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * ${b}_half(h);
}`,
  validate(bytes2) {
    checkHalfFields(q8_0, bytes2, { scale: 0 });
  }
};

// packages/tensor/src/formats/packed/dynamicMap.ts
var nestedBlockSize = 256;
var dynamicMap = createDynamicMap();
function createDynamicMap() {
  const { fround } = Math;
  const values = [0, 1];
  for (let exponent = -6; exponent <= 0; exponent++) {
    const intervals = 2 ** (exponent + 6);
    const factor = fround(10 ** exponent);
    const boundaries = linspace(fround(0.1), 1, intervals + 1);
    for (let i = 0; i < intervals; i++) {
      const mean2 = fround(fround(boundaries[i] + boundaries[i + 1]) / 2);
      values.push(fround(factor * mean2), fround(-factor * mean2));
    }
  }
  return Float32Array.from(values).sort();
}
function linspace(start, end, steps) {
  const { fround } = Math;
  const step2 = fround(fround(end - start) / (steps - 1));
  return Array.from(
    { length: steps },
    (_, i) => i < steps / 2 ? fround(start + step2 * i) : fround(end - step2 * (steps - i - 1))
  );
}

// packages/tensor/src/formats/packed/packed.ts
function packedLayout(format, shape, { blockSize, nested = false } = {}) {
  const [rows, columns] = shape;
  if (shape.length !== 2 || !shape.every((dim) => Number.isSafeInteger(dim) && dim > 0))
    throw new ValueError(format.name, `a packed matrix must be [rows, columns], got ${show(shape)}.`);
  if (columns % format.columnMultiple !== 0)
    throw new ValueError(
      format.name,
      `columns must be a multiple of ${format.columnMultiple}, got ${show(shape)}.`
    );
  const size = blockSize ?? format.blockSizes[0] ?? 0;
  if (format.blockSizes.length === 0 ? size !== 0 : !format.blockSizes.includes(size))
    throw new ValueError(
      format.name,
      `blockSize must be ${format.blockSizes.length === 0 ? "left out" : `one of ${format.blockSizes.join(", ")}`}, got ${size}.`
    );
  if (nested && !format.nests) throw new ValueError(format.name, "scales cannot be nested in this format.");
  return { format, shape: [rows, columns], blockSize: size, nested };
}
var packedCount = ({ shape: [rows, columns] }) => rows * columns;
var wordsFor = (bytes2) => Math.ceil(bytes2 / 4);
function bytesOfWords(words) {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
function wordsOfBytes(bytes2) {
  const words = new Uint32Array(wordsFor(bytes2.length));
  bytesOfWords(words).set(new Uint8Array(bytes2.buffer, bytes2.byteOffset, bytes2.length));
  return words;
}
var literal2 = (value) => `${Math.fround(value)}f`;

// packages/tensor/src/formats/packed/codebook.ts
function codebookFormat(name, values) {
  const table3 = Float32Array.from(values);
  return {
    name,
    table: table3,
    blockSizes: [64, 32, 128, 256, 512, 1024, 2048, 4096],
    nests: true,
    columnMultiple: 1,
    parts(layout) {
      const count = packedCount(layout);
      const blocks2 = Math.ceil(count / layout.blockSize);
      const codes = { name: "codes", dtype: "u32", size: wordsFor(Math.ceil(count / 2)) };
      if (!layout.nested) return [codes, { name: "absmax", dtype: "f32", size: blocks2 }];
      return [
        codes,
        { name: "absmax", dtype: "u32", size: wordsFor(blocks2) },
        { name: "nested_absmax", dtype: "f32", size: Math.ceil(blocks2 / nestedBlockSize) + 1 }
      ];
    },
    decode({ blockSize, nested }, parts, start, end, out) {
      const codes = bytesOfWords(parts[0]);
      const absmaxOf2 = nested ? nestedAbsmax(parts) : (block) => parts[1][block];
      for (let i = start; i < end; ) {
        const block = Math.floor(i / blockSize);
        const stop = Math.min(end, (block + 1) * blockSize);
        const absmax = absmaxOf2(block);
        if (i % 2 === 1) {
          out[i - start] = table3[codes[i >>> 1] & 15] * absmax;
          i++;
        }
        for (; i + 1 < stop; i += 2) {
          const pair = codes[i >>> 1];
          out[i - start] = table3[pair >>> 4] * absmax;
          out[i - start + 1] = table3[pair & 15] * absmax;
        }
        if (i < stop) {
          out[i - start] = table3[codes[i >>> 1] >>> 4] * absmax;
          i++;
        }
      }
    },
    wgsl: (b, lanes) => ({
      declare: `${lookup(b, [...table3], lanes)}
fn ${b}_at(e: u32) -> f32 { return ${b}_value((${b}_codes_at(e >> 3u) >> (((e & 7u) ^ 1u) << 2u)) & 15u) * ${b}_absmax_at(e >> P.${b}_shift); }
fn ${b}_four(e: u32) -> vec4f {
  let q = (vec4u(${b}_codes_at(e >> 3u) >> ((e & 4u) << 2u)) >> vec4u(4u, 0u, 12u, 8u)) & vec4u(15u);
  return vec4f(${b}_value(q.x), ${b}_value(q.y), ${b}_value(q.z), ${b}_value(q.w)) * ${b}_absmax_at(e >> P.${b}_shift);
}`,
      setup: lanes === 0 ? void 0 : tableInLanes(b, lanes)
    }),
    // A scale serves 32 values or more, so it is put together once for a product, not at each of its uses.
    prepare({ nested, blockSize, shape: [rows, columns] }, parts, gpu) {
      const [codes, absmax] = parts;
      if (!nested) return { kernels: [], parts: named(codes, absmax) };
      const blocks2 = Math.ceil(rows * columns / blockSize);
      const scales = gpu.scratch("f32", blocks2);
      const kernel = {
        key: "absmax",
        over: "element",
        count: blocks2,
        bindings: [
          { name: "packed", view: absmax, access: "read" },
          { name: "nested", view: parts[2], access: "read" },
          { name: "scales", view: scales, access: "write" }
        ],
        params: [["offset_at", "u32", Math.ceil(blocks2 / nestedBlockSize)]],
        declare: () => `const places = array<f32, 256>(${[...dynamicMap].map(literal2).join(", ")});`,
        main: () => `var place = places;
  let code = (packed_at(i >> 2u) >> ((i & 3u) << 3u)) & 255u;
  scales_put(i, place[code] * nested_at(i >> 8u) + nested_at(P.offset_at));`
      };
      return { kernels: [kernel], parts: named(codes, scales) };
    }
  };
}
var named = (codes, absmax) => [
  ["codes", codes],
  ["absmax", absmax]
];
function nestedAbsmax([, packed, nested]) {
  const codes = bytesOfWords(packed);
  const offset = nested[nested.length - 1];
  return (block) => Math.fround(Math.fround(dynamicMap[codes[block]] * nested[Math.floor(block / nestedBlockSize)]) + offset);
}
function lookup(b, table3, lanes) {
  const tree = `fn ${b}_entry(q: u32) -> f32 {
  let b0 = (q & 1u) != 0u; let b1 = (q & 2u) != 0u; let b2 = (q & 4u) != 0u; let b3 = (q & 8u) != 0u;
  ${pairs(8).map((i) => `let s${i} = select(${literal2(table3[2 * i])}, ${literal2(table3[2 * i + 1])}, b0);`).join(" ")}
  ${pairs(4).map((i) => `let u${i} = select(s${2 * i}, s${2 * i + 1}, b1);`).join(" ")}
  return select(select(u0, u1, b2), select(u2, u3, b2), b3);
}`;
  if (lanes === 0) return `${tree}
fn ${b}_value(q: u32) -> f32 { return ${b}_entry(q); }`;
  const size = Math.min(lanes, 16);
  const registers = pairs(16 / size);
  const found = registers.map((r) => `subgroupShuffle(${b}_held${r}, q & ${size - 1}u)`).reduceRight((rest, value, r) => `select(${rest}, ${value}, q < ${(r + 1) * size}u)`);
  return `${tree}
${registers.map((r) => `var<private> ${b}_held${r}: f32;`).join("\n")}
fn ${b}_value(q: u32) -> f32 { return ${found}; }`;
}
function tableInLanes(b, lanes) {
  const size = Math.min(lanes, 16);
  return pairs(16 / size).map((r) => `${b}_held${r} = ${b}_entry((sub & ${size - 1}u) + ${r * size}u);`).join(" ");
}
var pairs = (count) => [...Array(count).keys()];

// packages/tensor/src/formats/packed/fp4.ts
var magnitudes = [0, 0.0625, 8, 12, 4, 6, 2, 3];
var fp4 = codebookFormat(
  "fp4",
  // 0 − x: of zero it is no negative zero.
  [...magnitudes, ...magnitudes.map((value) => 0 - value)].map((value) => value / 12)
);

// packages/tensor/src/formats/packed/blocks.ts
function blockFormat(format, reader2) {
  const { name, blockSize, blockBytes } = format;
  const bytesOf = (layout) => packedCount(layout) / blockSize * blockBytes;
  return {
    name,
    blockSizes: [],
    nests: false,
    columnMultiple: blockSize,
    parts: (layout) => [{ name: "blocks", dtype: "u32", size: wordsFor(bytesOf(layout)) }],
    decode(_, [words], start, end, out) {
      const first = Math.floor(start / blockSize);
      const last = Math.ceil(end / blockSize);
      const bytes2 = bytesOfWords(words).subarray(first * blockBytes, last * blockBytes);
      const count = (last - first) * blockSize;
      if (count === end - start) format.decode(bytes2, count, out);
      else {
        const whole = new Float32Array(count);
        format.decode(bytes2, count, whole);
        out.set(whole.subarray(start - first * blockSize, end - first * blockSize));
      }
    },
    wgsl: (b) => ({
      declare: `fn ${b}_word(h: u32) -> u32 {
  let w = ${b}_blocks_at(h >> 1u);
  if ((h & 1u) == 0u) { return w; }
  return (w >> 16u) | (${b}_blocks_at((h >> 1u) + 1u) << 16u);
}
fn ${b}_half(h: u32) -> f32 { return unpack2x16float(${b}_blocks_at(h >> 1u) >> ((h & 1u) << 4u)).x; }
${reader2(b)}
fn ${b}_at(e: u32) -> f32 { return ${b}_four(e & ~3u)[e & 3u]; }`
    })
  };
}

// packages/tensor/src/formats/packed/int4.ts
var blockSizes = [64, 32, 128, 256];
var codesOf = (layout) => ({ name: "codes", dtype: "u32", size: wordsFor(Math.ceil(packedCount(layout) / 2)) });
var blocksOf = (layout) => Math.ceil(packedCount(layout) / layout.blockSize);
var nibble = (b) => `f32((${b}_codes_at(e >> 3u) >> ((e & 7u) << 2u)) & 15u)`;
var nibbles = (b) => `vec4f((vec4u(${b}_codes_at(e >> 3u) >> ((e & 4u) << 2u)) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u))`;
var int4 = {
  name: "int4",
  blockSizes,
  nests: false,
  columnMultiple: 1,
  parts: (layout) => [codesOf(layout), { name: "scale", dtype: "f32", size: blocksOf(layout) }],
  decode({ blockSize }, [words, scale], start, end, out) {
    const codes = bytesOfWords(words);
    for (let i = start; i < end; i++) {
      const q = codes[i >>> 1] >>> ((i & 1) << 2) & 15;
      out[i - start] = (q - 8) * scale[Math.floor(i / blockSize)];
    }
  },
  wgsl: (b) => ({
    declare: `fn ${b}_at(e: u32) -> f32 { return (${nibble(b)} - 8f) * ${b}_scale_at(e >> P.${b}_shift); }
fn ${b}_four(e: u32) -> vec4f { return (${nibbles(b)} - vec4f(8f)) * ${b}_scale_at(e >> P.${b}_shift); }`
  })
};
var int4Asymmetric = {
  name: "int4-asymmetric",
  blockSizes,
  nests: false,
  columnMultiple: 1,
  parts: (layout) => [
    codesOf(layout),
    { name: "scale", dtype: "f32", size: blocksOf(layout) },
    { name: "minimum", dtype: "f32", size: blocksOf(layout) }
  ],
  decode({ blockSize }, [words, scale, minimum], start, end, out) {
    const codes = bytesOfWords(words);
    for (let i = start; i < end; i++) {
      const q = codes[i >>> 1] >>> ((i & 1) << 2) & 15;
      const block = Math.floor(i / blockSize);
      out[i - start] = minimum[block] + q * scale[block];
    }
  },
  wgsl: (b) => ({
    declare: `fn ${b}_at(e: u32) -> f32 { let at = e >> P.${b}_shift; return fma(${nibble(b)}, ${b}_scale_at(at), ${b}_minimum_at(at)); }
fn ${b}_four(e: u32) -> vec4f { let at = e >> P.${b}_shift; return fma(${nibbles(b)}, vec4f(${b}_scale_at(at)), vec4f(${b}_minimum_at(at))); }`
  })
};

// packages/tensor/src/formats/packed/int8.ts
var int8 = {
  name: "int8",
  blockSizes: [],
  nests: false,
  columnMultiple: 1,
  parts(layout) {
    return [
      { name: "codes", dtype: "u32", size: wordsFor(packedCount(layout)) },
      { name: "absmax", dtype: "f32", size: layout.shape[0] }
    ];
  },
  decode({ shape: [, columns] }, [words, absmax], start, end, out) {
    const codes = bytesOfWords(words);
    for (let i = start; i < end; ) {
      const row = Math.floor(i / columns);
      const scale = absmax[row];
      for (const stop = Math.min(end, (row + 1) * columns); i < stop; i++)
        out[i - start] = (codes[i] << 24 >> 24) * scale / 127;
    }
  },
  rowScale: { part: "absmax", factor: 1 / 127 },
  wgsl: (b) => ({
    declare: `fn ${b}_at(e: u32) -> f32 { return f32((bitcast<i32>(${b}_codes_at(e >> 2u)) << (24u - ((e & 3u) << 3u))) >> 24u); }
fn ${b}_four(e: u32) -> vec4f { return vec4f((vec4i(bitcast<i32>(${b}_codes_at(e >> 2u))) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)); }`
  })
};

// packages/tensor/src/formats/packed/nf4.ts
var nf4 = codebookFormat(
  "nf4",
  [
    -1,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1
  ]
);

// packages/tensor/src/formats/packed/index.ts
var blocks = Object.values(formats_exports).flatMap(
  (format) => format.wgsl === void 0 ? [] : [blockFormat(format, format.wgsl)]
);
var packedFormats = new Map(
  [nf4, fp4, int8, int4, int4Asymmetric, ...blocks].map((format) => [format.name, format])
);

// packages/tensor/src/random/stream.ts
var ADDED = 466688986;
function fillBits([first, second], out) {
  const k0 = first | 0;
  const k1 = second | 0;
  const k2 = k0 ^ k1 ^ ADDED;
  for (let i = 0; i < out.length; i++) {
    let x0 = Math.floor(i / 2 ** 32) + k0 | 0;
    let x1 = i + k1 | 0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 13 | x1 >>> 19) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 15 | x1 >>> 17) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 26 | x1 >>> 6) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 6 | x1 >>> 26) ^ x0;
    x0 = x0 + k1 | 0;
    x1 = x1 + k2 + 1 | 0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 17 | x1 >>> 15) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 29 | x1 >>> 3) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 16 | x1 >>> 16) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 24 | x1 >>> 8) ^ x0;
    x0 = x0 + k2 | 0;
    x1 = x1 + k0 + 2 | 0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 13 | x1 >>> 19) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 15 | x1 >>> 17) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 26 | x1 >>> 6) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 6 | x1 >>> 26) ^ x0;
    x0 = x0 + k0 | 0;
    x1 = x1 + k1 + 3 | 0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 17 | x1 >>> 15) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 29 | x1 >>> 3) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 16 | x1 >>> 16) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 24 | x1 >>> 8) ^ x0;
    x0 = x0 + k1 | 0;
    x1 = x1 + k2 + 4 | 0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 13 | x1 >>> 19) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 15 | x1 >>> 17) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 26 | x1 >>> 6) ^ x0;
    x0 = x0 + x1 | 0;
    x1 = (x1 << 6 | x1 >>> 26) ^ x0;
    x0 = x0 + k2 | 0;
    x1 = x1 + k0 + 5 | 0;
    out[i] = x0 ^ x1;
  }
}
function unitOf(bits2) {
  return (bits2 >>> 9) * 2 ** -23;
}
function keyParams(key) {
  return [
    ["k0", "u32", () => key[0]],
    ["k1", "u32", () => key[1]]
  ];
}
function streamFunctions() {
  const rounds = Array.from(
    { length: 5 },
    (_, block) => [
      ...rotations[block % 2].map(
        (r) => `x += vec2u(x.y, 0u); x.y = ((x.y << ${r}u) | (x.y >> ${32 - r}u)) ^ x.x;`
      ),
      `x += vec2u(k${(block + 1) % 3}, k${(block + 2) % 3} + ${block + 1}u);`
    ].join("\n  ")
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

// packages/tensor/src/ops/draw.ts
function draw(op6, device, attrs) {
  checkKey(op6.name, attrs.key);
  if (!attrs.shape.every((dim) => Number.isInteger(dim) && dim >= 0))
    throw new ShapeError(op6.name, `sizes must be whole numbers, got ${show(attrs.shape)}.`);
  return applyOn(device, op6, [], attrs, (meta, storage, offset) => new Tensor(meta, storage, offset))[0];
}
function checkKey(who, key) {
  if (key.length !== 2 || !key.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32))
    throw new ValueError(who, `key must be two whole numbers below 2^32, got ${show(key)}. Use keyOf(seed).`);
}
function drawKernel({ key, shape }, y, value, params = [], functions = "") {
  return {
    key: "draw",
    over: "element",
    count: sizeOf(shape),
    bindings: [{ name: "y", view: y, access: "write" }],
    params: [...keyParams(key), ...params],
    declare: () => `${streamFunctions()}
${functions}`,
    main: () => `y_put(i, ${value});`
  };
}

// packages/tensor/src/ops/packedMatmul/matrix.ts
function checkParts(who, { format, ...rest }, parts) {
  const expected = format.parts({ format, ...rest });
  if (parts.length !== expected.length)
    throw new ShapeError(
      who,
      `${format.name} must have the parts ${expected.map(({ name }) => name).join(", ")}, got ${parts.length} tensors.`
    );
  for (const [i, { name, dtype, size }] of expected.entries()) {
    const fits = parts[i].dtype === dtype || dtype === "f32" && parts[i].dtype === "f64";
    if (!fits)
      throw new DTypeError(who, `${name} of ${format.name} must be ${dtype}, got ${parts[i].dtype}.`);
    if (sizeOf(parts[i].shape) !== size)
      throw new ShapeError(
        who,
        `${name} of ${format.name} must have ${size} values for ${show(rest.shape)}, got ${show(parts[i].shape)}.`
      );
  }
}
function bindMatrix(layout, parts, gpu) {
  const { format, blockSize } = layout;
  const prepared = format.prepare?.(layout, parts, gpu) ?? {
    kernels: [],
    parts: format.parts(layout).map(({ name }, i) => [name, parts[i]]).filter(([name]) => name !== format.rowScale?.part)
  };
  const stored = {
    read(name, aligned, lanes) {
      const { declare, setup } = format.wgsl(name, lanes);
      return {
        key: `${format.name}${aligned ? 4 : 1}${lanes > 0 ? `s${lanes}` : ""}`,
        bindings: prepared.parts.map(
          ([part, view]) => ({ name: `${name}_${part}`, view, access: "read" })
        ),
        params: blockSize > 0 ? [[`${name}_shift`, "u32", Math.log2(blockSize)]] : [],
        four: aligned,
        declare: () => declare,
        setup
      };
    }
  };
  return { kernels: prepared.kernels, stored };
}
function rowScaleOf({ format, ...rest }, parts) {
  const { rowScale } = format;
  if (rowScale === void 0) return void 0;
  const at = format.parts({ format, ...rest }).findIndex(({ name }) => name === rowScale.part);
  return { scale: parts[at], factor: rowScale.factor };
}

// packages/tensor/src/ops/packedMatmul/cpu.ts
var BLOCK = 2 ** 18;
var decoded = new Float32Array(0);
var product2 = new Float32Array(0);
function packedFast(layout, parts, x, y, m, transpose2) {
  const [rows, columns] = layout.shape;
  const most = Math.max(1, Math.min(rows, Math.floor(BLOCK / columns)));
  decoded = roomFor(decoded, most * columns);
  product2 = roomFor(product2, m * (transpose2 ? most : columns));
  if (!transpose2) y.fill(0, 0, m * columns);
  for (let start = 0; start < rows; start += most) {
    const count = Math.min(most, rows - start);
    const weights2 = decoded.subarray(0, count * columns);
    layout.format.decode(layout, parts, start * columns, (start + count) * columns, weights2);
    if (transpose2) {
      const into = product2.subarray(0, m * count);
      multiply2([m, columns], x, [count, columns], weights2, true, into);
      for (let i = 0; i < m; i++) y.set(into.subarray(i * count, (i + 1) * count), i * rows + start);
    } else {
      const own2 = count === rows ? x : columnsOf(x, m, rows, start, count);
      const into = product2.subarray(0, m * columns);
      multiply2([m, count], own2, [count, columns], weights2, false, into);
      for (let i = 0; i < into.length; i++) y[i] += into[i];
    }
  }
}
function packedReference(layout, parts, x, y, m, transpose2) {
  const [rows, columns] = layout.shape;
  const row = new Float32Array(columns);
  const sums = new Float64Array(transpose2 ? 0 : m * columns);
  for (let n = 0; n < rows; n++) {
    layout.format.decode(layout, parts, n * columns, (n + 1) * columns, row);
    for (let i = 0; i < m; i++) {
      if (transpose2) {
        let sum2 = 0;
        for (let k = 0; k < columns; k++) sum2 += x[i * columns + k] * row[k];
        y[i * rows + n] = sum2;
      } else {
        const factor = x[i * rows + n];
        for (let k = 0; k < columns; k++) sums[i * columns + k] += factor * row[k];
      }
    }
  }
  if (!transpose2) y.set(sums);
}
function unpackAll(layout, parts, y) {
  const count = packedCount(layout);
  if (y instanceof Float32Array) layout.format.decode(layout, parts, 0, count, y.subarray(0, count));
  else {
    const values = new Float32Array(count);
    layout.format.decode(layout, parts, 0, count, values);
    y.set(values);
  }
}
function multiply2(shapeA, a, shapeB, b, transposeB, y) {
  const plan = planMatmul(
    { shape: shapeA, dtype: "f32" },
    { shape: shapeB, dtype: "f32" },
    { transposeA: false, transposeB }
  );
  matmulFast(plan, a, b, y);
}
function columnsOf(x, m, width, start, count) {
  const own2 = new Float32Array(m * count);
  for (let i = 0; i < m; i++) own2.set(x.subarray(i * width + start, i * width + start + count), i * count);
  return own2;
}
function roomFor(array, size) {
  return array.length >= size ? array : new Float32Array(size);
}

// packages/tensor/src/ops/packedMatmul/packedMatmul.ts
var packedMatmulOp = {
  name: "packedMatmul",
  infer([x, ...parts], { layout, transpose: transpose2 }) {
    const [rows, columns] = layout.shape;
    const [inner, outer] = transpose2 ? [columns, rows] : [rows, columns];
    if (x.shape.length !== 2 || x.shape[1] !== inner)
      throw new ShapeError(
        "packedMatmul",
        `x must be [..., ${inner}] for a weight ${show(layout.shape)}${transpose2 ? "" : " without transpose"}, got ${show(x.shape)}.`
      );
    checkParts("packedMatmul", layout, parts);
    return [{ shape: [x.shape[0], outer], dtype: computeType(x.dtype) }];
  },
  cpu([x, ...parts], [y], { layout, transpose: transpose2 }, { fast }) {
    const data = parts.map((part) => part.data);
    const m = x.shape[0];
    if (fast && x.data instanceof Float32Array && y.data instanceof Float32Array)
      packedFast(layout, data, x.data, y.data, m, transpose2);
    else packedReference(layout, data, x.data, y.data, m, transpose2);
  },
  wgsl: ([x, ...parts], [y], attrs, gpu) => kernelsOf(x, parts, y, attrs, gpu),
  gradient: ({ inputs: [, ...parts], dy, attrs: { layout, transpose: transpose2 } }) => [
    apply(packedMatmulOp, [dy, ...parts], { layout, transpose: !transpose2 })[0]
  ],
  saves: (inputs) => ({ inputs: inputs.slice(1).map((_, i) => i + 1) }),
  flops: ([x], _, { layout }) => 2 * x.shape[0] * sizeOf(layout.shape)
};
function kernelsOf(x, parts, y, { layout, transpose: transpose2 }, gpu, tile) {
  const plan = planMatmul(
    x,
    { shape: layout.shape, dtype: "f32" },
    { transposeA: false, transposeB: transpose2 }
  );
  const { kernels, stored } = bindMatrix(layout, parts, gpu);
  const scaled = rowScaleOf(layout, parts);
  if (scaled === void 0) return [...kernels, matmulKernel(plan, x, stored, y, gpu, tile)];
  const { scale, factor } = scaled;
  if (transpose2)
    return [
      ...kernels,
      matmulKernel(plan, x, stored, y, gpu, tile),
      {
        key: "scale",
        over: "element",
        count: sizeOf(y.shape),
        bindings: [
          { name: "y", view: y, access: "update" },
          { name: "scale", view: scale, access: "read" }
        ],
        params: [
          ["rows", "u32", layout.shape[0]],
          ["factor", "f32", factor]
        ],
        main: () => "y_put(i, y_at(i) * (scale_at(i % P.rows) * P.factor));"
      }
    ];
  const given = gpu.scratch("f32", sizeOf(x.shape));
  return [
    ...kernels,
    {
      key: "prescale",
      over: "element",
      count: sizeOf(x.shape),
      bindings: [
        { name: "x", view: x, access: "read" },
        { name: "scale", view: scale, access: "read" },
        { name: "y", view: given, access: "write" }
      ],
      params: [
        ["rows", "u32", layout.shape[0]],
        ["factor", "f32", factor]
      ],
      main: () => "y_put(i, x_at(i) * (scale_at(i % P.rows) * P.factor));"
    },
    matmulKernel(plan, { ...given, shape: x.shape }, stored, y, gpu, tile)
  ];
}
function packedMatmul(x, weight, { transpose: transpose2 = true } = {}) {
  const { layout, parts } = weight;
  const attrs = { layout, transpose: transpose2 };
  if (x.shape.length === 2) return apply(packedMatmulOp, [x, ...parts], attrs)[0];
  const width = x.shape.at(-1) ?? 1;
  const count = sizeOf(x.shape.slice(0, -1));
  return scope(() => {
    const [y] = apply(packedMatmulOp, [inShape(x, [count, width]), ...parts], attrs);
    return inShape(y, [...x.shape.slice(0, -1), y.shape[1]]);
  });
}

// packages/tensor/src/ops/packedMatmul/unpackWeight.ts
var unpackOp = {
  name: "unpackWeight",
  infer(parts, { layout }) {
    checkParts("unpackWeight", layout, parts);
    return [{ shape: layout.shape, dtype: parts.some(({ dtype }) => dtype === "f64") ? "f64" : "f32" }];
  },
  cpu(parts, [y], { layout }) {
    unpackAll(
      layout,
      parts.map(({ data }) => data),
      y.data
    );
  },
  wgsl(parts, [y], { layout }, gpu) {
    const { kernels, stored } = bindMatrix(layout, parts, gpu);
    const four = layout.shape[1] % 4 === 0 && y.offset % 4 === 0;
    const reader2 = stored.read("w", four, 0);
    const scaled = rowScaleOf(layout, parts);
    const value = four ? "w_four(4u * i)" : "w_at(i)";
    const row = `${four ? "4u * i" : "i"} / P.columns`;
    const whole = scaled === void 0 ? value : `${value} * (scale_at(${row}) * P.factor)`;
    return [
      ...kernels,
      {
        key: `${reader2.key}${scaled === void 0 ? "" : "r"}`,
        over: "element",
        count: sizeOf(layout.shape) / (four ? 4 : 1),
        bindings: [
          ...reader2.bindings,
          ...scaled === void 0 ? [] : [{ name: "scale", view: scaled.scale, access: "read" }],
          { name: "y", view: y, access: "write", as: four ? "vec4" : void 0 }
        ],
        params: [
          ["columns", "u32", layout.shape[1]],
          ["factor", "f32", scaled?.factor ?? 1],
          ...reader2.params ?? []
        ],
        declare: () => reader2.declare(),
        main: () => four ? `y_put4(i, ${whole});` : `y_put(i, ${whole});`
      }
    ];
  },
  gradient: "none: packed weights are not trained"
};
function unpackWeight({ layout, parts }) {
  return apply(unpackOp, parts, { layout })[0];
}

// packages/tensor/src/ops/uniform.ts
var uniformOp = {
  name: "uniform",
  infer(_, { shape, low, high }) {
    if (!(low < high)) throw new ValueError("uniform", `low must be below high, got ${low} and ${high}.`);
    return [{ shape, dtype: "f32" }];
  },
  cpu(_, [y], { key, shape, low, high }) {
    const bits2 = new Uint32Array(sizeOf(shape));
    fillBits(key, bits2);
    const start = Math.fround(low);
    const span = Math.fround(Math.fround(high) - start);
    for (let i = 0; i < bits2.length; i++)
      y.data[i] = Math.max(start, Math.fround(unitOf(bits2[i]) * span) + start);
  },
  wgsl: (_, [y], attrs) => [
    drawKernel(attrs, y, "max(P.low, random_unit(i) * P.span + P.low)", [
      ["low", "f32", attrs.low],
      ["span", "f32", Math.fround(attrs.high) - Math.fround(attrs.low)]
    ])
  ],
  gradient: "none: random values depend on nothing"
};
function uniform(device, key, shape, { low = 0, high = 1, dtype = "f32" } = {}) {
  return scope(() => cast(draw(uniformOp, device, { key, shape, low, high }), dtype));
}

// packages/tensor/src/device/node/gpu.ts
import { tmpdir } from "node:os";
var instances = /* @__PURE__ */ new Map();
var binding;
async function openGpu(flags, key = flags.join(" ")) {
  const known2 = instances.get(key);
  if (known2) return known2;
  const { create } = await loadBinding();
  const opened3 = instances.get(key) ?? create([...flags]);
  instances.set(key, opened3);
  return opened3;
}
async function gpuGlobals() {
  const { globals } = await loadBinding();
  return globals;
}
function loadBinding() {
  binding ??= importBinding();
  return binding;
}
async function importBinding() {
  if (process.platform === "linux") process.env.XDG_RUNTIME_DIR ??= tmpdir();
  try {
    return await import("webgpu");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DeviceError(
      "device",
      `the npm package "webgpu" could not be loaded on ${process.platform}-${process.arch} (${reason}). Install it with "npm install webgpu", or use the CPU device.`
    );
  }
}

// packages/tensor/src/device/node/hints.ts
import { readdir } from "node:fs/promises";
import { join } from "node:path";
var manifestFolders = ["/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
async function systemHint() {
  if (process.platform !== "linux") return "Dawn found no adapter";
  const chosen = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  if (chosen) return `Dawn accepted none of the Vulkan drivers that the environment names (${chosen})`;
  const drivers = (await Promise.all(manifestFolders.map(driversIn))).flat();
  if (drivers.length === 0) return "no Vulkan driver is installed";
  return `Dawn accepted none of the installed Vulkan drivers (${drivers.join(", ")}), or their loader is missing`;
}
async function driversIn(folder) {
  try {
    const names = await readdir(folder);
    return names.filter((name) => name.endsWith(".json")).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

// packages/tensor/src/device/node/swiftShader.ts
import { readFile as readFile2, stat as stat2 } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname as dirname2, join as join3 } from "node:path";
import { pathToFileURL } from "node:url";

// packages/tensor/src/device/node/unpack.ts
import { randomUUID } from "node:crypto";
import { chmod, lstat, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir as tmpdir2 } from "node:os";
import { dirname, isAbsolute, join as join2, normalize, sep } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
async function cachedFolder(name, fill) {
  const root = await cacheRoot();
  const folder = join2(root, name);
  if (await exists(folder)) return folder;
  const draft = join2(root, `.${name}.${randomUUID()}`);
  await mkdir(draft, { recursive: true });
  try {
    await fill(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!await exists(folder)) throw error;
  }
  return folder;
}
async function unpackTar(file, folder) {
  const tar = await unbrotli(file);
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const path = text2(tar, at, 100);
    const size = Number.parseInt(text2(tar, at + 124, 12), 8);
    const mode = Number.parseInt(text2(tar, at + 100, 8), 8);
    const kind = text2(tar, at + 156, 1);
    if (isAbsolute(path) || normalize(path).split(sep).includes("..")) {
      throw new Error(`unpack: ${file} must hold paths below its folder only, got "${path}".`);
    }
    if (kind === "" || kind === "0") {
      const target = join2(folder, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, tar.subarray(at + 512, at + 512 + size));
      await chmod(target, mode & 493);
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
async function unbrotli(file) {
  return promisify(brotliDecompress)(await readFile(file));
}
function text2(bytes2, at, length) {
  const end = bytes2.indexOf(0, at);
  return bytes2.toString("utf8", at, end < 0 || end > at + length ? at + length : end).trim();
}
async function cacheRoot() {
  const user = join2(process.env.XDG_CACHE_HOME || join2(homedir(), ".cache"), "graft");
  if (await writable(user)) return user;
  const uid = process.getuid?.() ?? 0;
  const shared = join2(tmpdir2(), `graft-${uid}`);
  await mkdir(shared, { recursive: true, mode: 448 });
  const found = await lstat(shared);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 18) !== 0) {
    throw new Error(
      `unpack: the cache folder ${shared} must belong to user ${uid} alone, got another owner or mode.`
    );
  }
  return shared;
}
async function writable(folder) {
  try {
    await mkdir(folder, { recursive: true });
    const probe = join2(folder, `.probe.${randomUUID()}`);
    await writeFile(probe, "");
    await rm(probe);
    return true;
  } catch {
    return false;
  }
}
async function exists(path) {
  return stat(path).then(
    () => true,
    () => false
  );
}

// packages/tensor/src/device/node/swiftShader.ts
var manifestVariables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
async function openSwiftShader() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { refused: `it is built for linux-x64 only, and this is ${process.platform}-${process.arch}` };
  }
  const bin = chromiumBin();
  if (bin === void 0) return { refused: 'the npm package "@sparticuz/chromium" is not installed' };
  try {
    const folder = await unpackOnce(bin);
    await preloadLoader(join3(folder, "libvulkan.so.1"));
    return { gpu: await openWithDriver(join3(folder, "vk_swiftshader_icd.json")) };
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) };
  }
}
function chromiumBin() {
  for (const from of [import.meta.url, pathToFileURL(join3(process.cwd(), "package.json"))]) {
    try {
      return join3(dirname2(dirname2(createRequire(from).resolve("@sparticuz/chromium"))), "bin");
    } catch {
    }
  }
  return void 0;
}
async function chromiumCacheName(bin, file) {
  const manifest = JSON.parse(await readFile2(join3(bin, "..", "package.json"), "utf8"));
  const version2 = typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "unknown";
  const { size } = await stat2(join3(bin, file));
  return `${file.split(".")[0]}-${version2}-${size}`;
}
async function unpackOnce(bin) {
  const file = "swiftshader.tar.br";
  const name = await chromiumCacheName(bin, file);
  return cachedFolder(name, (folder) => unpackTar(join3(bin, file), folder));
}
async function preloadLoader(ours) {
  const { load } = await import("koffi");
  const how = { global: true, lazy: true };
  try {
    load("libvulkan.so.1", how);
  } catch {
    load(ours, how);
  }
}
async function openWithDriver(manifest) {
  const before = manifestVariables.map((name) => [name, process.env[name]]);
  for (const name of manifestVariables) process.env[name] = manifest;
  try {
    const gpu = await openGpu(["backend=vulkan"], "swiftshader");
    await gpu.requestAdapter();
    return gpu;
  } finally {
    for (const [name, value] of before) {
      if (value === void 0) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

// packages/tensor/src/device/node/adapters.ts
var forcedNames = ["swiftshader", "vulkan", "null"];
async function findAdapter(options) {
  const { found, refused } = await searchAdapters(options);
  if (found) return found;
  const reasons = refused.map(({ name, why }) => `${name}: ${why}`).join("; ");
  throw new DeviceError("device", `no WebGPU adapter was found. ${reasons}. ${remedy(options)}`);
}
async function searchAdapters(options) {
  const forced = forcedAdapter();
  const refused = [];
  const found = forced === void 0 ? await searchAll(options, refused) : await openForced(forced, refused);
  return { found, refused };
}
async function searchAll(options, refused) {
  const { allowSoftware } = options;
  const system = await openSystem(allowSoftware === "only");
  if (system === void 0) {
    refused.push({ name: "system", why: await systemHint() });
  } else if (system.kind === "gpu") {
    if (allowSoftware !== "only") return { ...system, why: "it is a GPU", refused };
    refused.push({ name: system.name, why: "it is a GPU, and only software was asked for" });
  } else if (allowSoftware === false) {
    refused.push({ name: system.name, why: "it computes on the CPU, slower than the CPU device does" });
  } else {
    const why = allowSoftware === "only" ? "software was asked for" : "no GPU was found; this is installed";
    return { ...system, why, refused };
  }
  if (allowSoftware === false) return void 0;
  if (options.swiftShader === false) {
    refused.push({ name: "SwiftShader", why: "it was not allowed" });
    return void 0;
  }
  return takeSwiftShader("no other adapter was found; it comes with the test dependencies", refused);
}
async function openForced(forced, refused) {
  const why = `GRAFT_ADAPTER is ${forced}`;
  if (forced === "swiftshader") return takeSwiftShader(why, refused);
  const gpu = await openGpu([`backend=${forced}`]);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) return { ...identify(gpu, adapter), why, refused };
  refused.push({ name: forced, why: await systemHint() });
  return void 0;
}
async function openSystem(software) {
  const gpu = await openGpu([]);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return void 0;
  const best = identify(gpu, adapter);
  if (!software || best.kind === "software") return best;
  const fallback = await gpu.requestAdapter({ forceFallbackAdapter: true });
  return fallback ? identify(gpu, fallback) : best;
}
async function takeSwiftShader(why, refused) {
  const opened3 = await openSwiftShader();
  if ("refused" in opened3) {
    refused.push({ name: "SwiftShader", why: opened3.refused });
    return void 0;
  }
  const adapter = await opened3.gpu.requestAdapter();
  if (adapter) return { ...identify(opened3.gpu, adapter), why, refused };
  refused.push({ name: "SwiftShader", why: "it was unpacked, but Dawn could not open it" });
  return void 0;
}
var softwareNames = /llvmpipe|lavapipe|swiftshader|basic render|softpipe|null-backend/i;
function identify(gpu, adapter) {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = description || device || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
  const words = [vendor, architecture, device, description].join(" ");
  const software = isFallbackAdapter || softwareNames.test(words);
  return { adapter, kind: software ? "software" : "gpu", name, language: gpu.wgslLanguageFeatures };
}
function forcedAdapter() {
  const value = process.env.GRAFT_ADAPTER;
  if (value === void 0 || value === "") return void 0;
  const forced = forcedNames.find((name) => name === value);
  if (forced) return forced;
  throw new DeviceError("device", `GRAFT_ADAPTER must be one of ${forcedNames.join(", ")}, got "${value}".`);
}
function remedy({ allowSoftware }) {
  if (allowSoftware === false) return 'Install the driver of the GPU, or use device "cpu".';
  return process.platform === "linux" ? "Install mesa-vulkan-drivers (version 23 or newer) for a software adapter; see docs/gpu-setup.md." : "See docs/gpu-setup.md.";
}

// packages/tensor/src/device/node/settle.ts
var cell = new Int32Array(new SharedArrayBuffer(4));
var waiting = 0;
var chained = false;
async function settle(promise) {
  waiting++;
  if (!chained) {
    chained = true;
    setImmediate(nap);
  }
  try {
    return await promise;
  } finally {
    waiting--;
  }
}
function nap() {
  if (waiting === 0) {
    chained = false;
    return;
  }
  Atomics.wait(cell, 0, 0, 0.15);
  setImmediate(nap);
}

// packages/tensor/src/device/node/open.ts
var flush = { dispatches: 128, bytes: 2 ** 28 };
async function openWebGpu(options = {}) {
  const found = await findAdapter({
    allowSoftware: options.allowSoftware ?? true,
    swiftShader: options.swiftShader
  });
  return openFound(found, options);
}
async function openFound(found, options = {}) {
  return openOn(found.adapter, found.name, { flush, ...options, settle }, found.language);
}

// benchmarks/src/harness.ts
import { Bench } from "tinybench";

// benchmarks/src/gpuWatch.ts
var GpuWatch = class _GpuWatch {
  #groups = /* @__PURE__ */ new WeakMap();
  #restore;
  #bound = /* @__PURE__ */ new Map();
  #touched = /* @__PURE__ */ new Set();
  #dispatches = 0;
  constructor(encoder, device) {
    const { setBindGroup, dispatchWorkgroups } = encoder;
    const { createBindGroup } = device;
    const watch = this;
    device.createBindGroup = function(descriptor) {
      const group = createBindGroup.call(this, descriptor);
      watch.#groups.set(group, [...descriptor.entries].flatMap(bufferOf2));
      return group;
    };
    encoder.setBindGroup = function(index, group, ...rest) {
      setBindGroup.call(this, index, group, ...rest);
      watch.#bind(this, index, group);
    };
    encoder.dispatchWorkgroups = function(...counts) {
      dispatchWorkgroups.call(this, ...counts);
      watch.#dispatched(this);
    };
    this.#restore = () => {
      Object.assign(encoder, { setBindGroup, dispatchWorkgroups });
      Object.assign(device, { createBindGroup });
    };
  }
  static async open() {
    const globals = Object(await gpuGlobals());
    return new _GpuWatch(
      globals.GPUComputePassEncoder.prototype,
      globals.GPUDevice.prototype
    );
  }
  /** What has run since the last call. */
  take() {
    let bytes2 = 0;
    for (const buffer of this.#touched) bytes2 += buffer.size;
    const work = { dispatches: this.#dispatches, bytes: bytes2 };
    this.#touched = /* @__PURE__ */ new Set();
    this.#bound = /* @__PURE__ */ new Map();
    this.#dispatches = 0;
    return work;
  }
  /** Takes the counting out again. */
  [Symbol.dispose]() {
    this.#restore();
  }
  #bind(encoder, index, group) {
    const groups = this.#bound.get(encoder) ?? /* @__PURE__ */ new Map();
    if (group === null) groups.delete(index);
    else groups.set(index, group);
    this.#bound.set(encoder, groups);
  }
  #dispatched(encoder) {
    this.#dispatches++;
    for (const group of this.#bound.get(encoder)?.values() ?? [])
      for (const buffer of this.#groups.get(group) ?? []) this.#touched.add(buffer);
  }
};
function bufferOf2({ resource }) {
  if ("buffer" in resource) return [resource.buffer];
  return "size" in resource ? [resource] : [];
}

// benchmarks/src/harness.ts
async function measure(suite2, devices2, rounds, rivals = { peers: [] }) {
  const cases = await suite2.cases(devices2, rivals);
  const work = await warmUp2(cases);
  const times = cases.map(() => []);
  const iterations = suite2.large ? 1 : 3;
  for (let round = 0; round < rounds; round++) {
    const bench = new Bench({ time: 60, iterations, warmup: false, throws: true });
    for (const one2 of cases) bench.add(one2.name, () => runOnce(one2));
    await bench.run();
    for (const [i, { result }] of bench.tasks.entries())
      times[i].push("latency" in result ? result.latency.p50 : Number.NaN);
  }
  return cases.map(({ name, device, flops, group, note }, i) => {
    const first = times[cases.findIndex((other) => other.group === group)];
    const median = quantile(times[i], 0.5);
    return {
      suite: suite2.name,
      case: name,
      group,
      device: device?.name,
      ms: times[i],
      median,
      spread: (quantile(times[i], 0.75) - quantile(times[i], 0.25)) / median,
      gflops: flops === void 0 ? void 0 : flops / median / 1e6,
      ...work[i],
      speedup: quantile(
        times[i].map((time, round) => first[round] / time),
        0.5
      ),
      note: note?.()
    };
  });
}
async function warmUp2(cases) {
  var _stack = [];
  try {
    const watch = __using(_stack, await GpuWatch.open());
    const work = [];
    for (const one2 of cases) {
      for (let i = 0; i < 3; i++) {
        watch.take();
        await runOnce(one2);
      }
      work.push(one2.device?.kind === "cpu" ? void 0 : watch.take());
    }
    return work;
  } catch (_) {
    var _error = _, _hasError = true;
  } finally {
    __callDispose(_stack, _error, _hasError);
  }
}
async function runOnce({ run, finish, device }) {
  await run();
  if (finish !== void 0) await finish();
  else if (device !== void 0 && "finish" in device && typeof device.finish === "function")
    await device.finish();
}
function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1) + 0.5)];
}

// packages/quant/src/scheme.ts
function checkValues(name, values, shape) {
  if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
    throw new ShapeError(name, `sizes must be whole numbers, got ${show(shape)}.`);
  if (sizeOf(shape) !== values.length)
    throw new ShapeError(name, `${show(shape)} must have ${sizeOf(shape)} values, got ${values.length}.`);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new ValueError(name, `value ${bad} must be finite, got ${values[bad]}.`);
}
function checkOut(name, packed, out) {
  if (packed.scheme !== name)
    throw new ValueError(name, `packed weights must be of this scheme, got ${packed.scheme}.`);
  const count = sizeOf(packed.shape);
  if (out !== void 0 && out.length < count)
    throw new ValueError(name, `out must have room for ${count} values, got ${out.length}.`);
  return out ?? new Float32Array(count);
}
function resolveOptions({ name, options }, given = {}) {
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(options, key));
  if (unknown.length > 0) {
    const known2 = Object.keys(options).join(", ") || "none";
    throw new ValueError(name, `there is no option "${unknown[0]}". Options are: ${known2}.`);
  }
  const entries = Object.entries(options).map(([key, allowed]) => {
    const value = given[key] ?? allowed[0];
    if (!allowed.includes(value))
      throw new ValueError(name, `${key} must be one of ${allowed.join(", ")}, got ${value}.`);
    return [key, value];
  });
  return Object.fromEntries(entries);
}
function forBlocks(count, size, visit) {
  for (let block = 0; block * size < count; block++)
    visit(block * size, Math.min(count, (block + 1) * size), block);
}
function absmaxOf(values, start, end) {
  let largest = 0;
  for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

// packages/quant/src/doubleQuant.ts
var midpoints = dynamicMap.slice(1).map((value, i) => (dynamicMap[i] + value) / 2);
var halfGap = dynamicMap.reduce(
  (gap, value, i) => Math.max(gap, (value - (dynamicMap[i - 1] ?? value)) / 2),
  0
);
var smallest = Math.fround(1e-38);
function quantizeAbsmax(absmax) {
  const { fround } = Math;
  const offset = offsetOf(absmax);
  const centred = absmax.map((value) => value - offset);
  const codes = new Uint8Array(absmax.length);
  const nested = new Float32Array(Math.ceil(absmax.length / nestedBlockSize));
  forBlocks(absmax.length, nestedBlockSize, (start, end, block) => {
    nested[block] = absmaxOf(centred, start, end);
    const inverse = fround(1 / Math.max(nested[block], smallest));
    for (let i = start; i < end; i++) codes[i] = nearest(fround(centred[i] * inverse));
  });
  return { codes, absmax: nested, offset };
}
function dequantizeAbsmax({ codes, absmax, offset }) {
  return Float32Array.from(codes, (code, i) => {
    const product3 = Math.fround(dynamicMap[code] * absmax[Math.floor(i / nestedBlockSize)]);
    return Math.fround(product3 + offset);
  });
}
function nestedBound(absmax) {
  const offset = offsetOf(absmax);
  const bound = new Float64Array(absmax.length);
  forBlocks(absmax.length, nestedBlockSize, (start, end) => {
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(absmax[i] - offset));
    const code = largest < 2 * smallest ? 1 : halfGap;
    for (let i = start; i < end; i++)
      bound[i] = code * largest + 2 ** -20 * (largest + absmax[i] + offset) + 2 ** -147;
  });
  return bound;
}
function offsetOf(absmax) {
  return absmax.length === 0 ? 0 : Math.fround(absmax.reduce((sum2, value) => sum2 + value, 0) / absmax.length);
}
function nearest(value) {
  let low = 0;
  let high = midpoints.length;
  while (low < high) {
    const middle = low + high >>> 1;
    if (midpoints[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// packages/quant/src/layout.ts
function layoutNamed(name, shape, options) {
  const format = packedFormats.get(name);
  if (format === void 0)
    throw new ValueError(
      "layoutNamed",
      `the format must be one of ${[...packedFormats.keys()].join(", ")}, got "${name}".`
    );
  return packedLayout(format, shape, options);
}

// packages/quant/src/pack.ts
function packNibbles(codes, order, pad = 0) {
  const bytes2 = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < bytes2.length; i++) {
    const first = codes[2 * i];
    const second = 2 * i + 1 < codes.length ? codes[2 * i + 1] : pad;
    if ((first | second) >>> 4 !== 0)
      throw new ValueError("packNibbles", `codes must lie in 0..15, got ${first} and ${second} at ${2 * i}.`);
    bytes2[i] = order === "highFirst" ? first << 4 | second : second << 4 | first;
  }
  return bytes2;
}
function unpackNibbles(bytes2, count, order) {
  if (bytes2.length !== Math.ceil(count / 2))
    throw new ValueError(
      "unpackNibbles",
      `${count} codes must be ${Math.ceil(count / 2)} bytes, got ${bytes2.length}.`
    );
  const codes = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const high = i % 2 === 0 === (order === "highFirst");
    codes[i] = high ? bytes2[i >>> 1] >>> 4 : bytes2[i >>> 1] & 15;
  }
  return codes;
}

// packages/quant/src/codebook.ts
var smallest2 = Math.fround(1e-38);
function codebookScheme(name, table3, keepsNegation) {
  const { fround } = Math;
  const values = table3;
  const order = [...table3.keys()].sort((a, b) => values[a] - values[b]);
  const sorted = order.map((code) => values[code]);
  const midpoints2 = sorted.slice(1).map((value, i) => fround(fround(sorted[i] + value) / 2));
  const halfGap2 = sorted.reduce((gap, value, i) => Math.max(gap, (value - (sorted[i - 1] ?? value)) / 2), 0);
  const zero2 = table3.indexOf(0);
  const encode3 = (value) => {
    let place = 0;
    while (place < 15 && midpoints2[place] < value) place++;
    return order[place];
  };
  const scheme = {
    name,
    rounding: "aboveMidpoint",
    options: { blockSize: [64, 32, 128, 256, 512, 1024, 2048, 4096], doubleQuant: [false, true] },
    keepsZero: true,
    keepsNegation,
    quantize(input, shape, options) {
      const { blockSize, doubleQuant } = resolveOptions(scheme, options);
      checkValues(name, input, shape);
      const absmax = new Float32Array(Math.ceil(input.length / blockSize));
      const codes = new Uint8Array(input.length);
      forBlocks(input.length, blockSize, (start, end, block) => {
        const largest = absmaxOf(input, start, end);
        const divisor = Math.max(largest, smallest2);
        const whole = end - start === blockSize;
        const inverse = fround(1 / divisor);
        absmax[block] = whole ? largest : divisor;
        for (let i = start; i < end; i++)
          codes[i] = encode3(fround(whole ? input[i] * inverse : input[i] / divisor));
      });
      return {
        scheme: name,
        shape,
        blockSize,
        codes: packNibbles(codes, "highFirst", zero2),
        absmax: doubleQuant ? quantizeAbsmax(absmax) : absmax
      };
    },
    dequantize(packed, out) {
      const to = checkOut(name, packed, out);
      const count = sizeOf(packed.shape);
      const { blockSize, codes } = packed;
      const absmax = packed.absmax instanceof Float32Array ? packed.absmax : dequantizeAbsmax(packed.absmax);
      if (codes.length !== Math.ceil(count / 2) || absmax.length !== Math.ceil(count / blockSize))
        throw new ValueError(
          name,
          `${count} values in blocks of ${blockSize} must be ${Math.ceil(count / 2)} bytes and ${Math.ceil(count / blockSize)} scales, got ${codes.length} and ${absmax.length}.`
        );
      for (let i = 0; i < count; i++) {
        const code = i % 2 === 0 ? codes[i >>> 1] >>> 4 : codes[i >>> 1] & 15;
        to[i] = values[code] * absmax[Math.floor(i / blockSize)];
      }
      return to;
    },
    codes({ shape, codes }) {
      return Int16Array.from(unpackNibbles(codes, sizeOf(shape), "highFirst"));
    },
    toDevice({ shape, blockSize, codes, absmax }) {
      const nested = !(absmax instanceof Float32Array);
      const layout = layoutNamed(name, shape, { blockSize, nested });
      const words = wordsOfBytes(codes);
      if (!nested) return { layout, parts: [words, absmax] };
      const scales = Float32Array.of(...absmax.absmax, absmax.offset);
      return { layout, parts: [words, wordsOfBytes(absmax.codes), scales] };
    },
    fromDevice({ layout: { shape, blockSize, nested }, parts: [words, absmax, scales] }) {
      const count = sizeOf(shape);
      const codes = bytesOfWords(words).slice(0, Math.ceil(count / 2));
      const base = { scheme: name, shape, blockSize, codes };
      if (!nested) return { ...base, absmax: Float32Array.from(absmax) };
      return {
        ...base,
        absmax: {
          codes: bytesOfWords(absmax).slice(0, Math.ceil(count / blockSize)),
          absmax: Float32Array.from(scales.subarray(0, -1)),
          offset: scales[scales.length - 1]
        }
      };
    },
    bytes(shape, options) {
      const { blockSize, doubleQuant } = resolveOptions(scheme, options);
      const count = sizeOf(shape);
      const blocks2 = Math.ceil(count / blockSize);
      const scales = doubleQuant ? blocks2 + 4 * Math.ceil(blocks2 / nestedBlockSize) + 4 : 4 * blocks2;
      return Math.ceil(count / 2) + scales;
    },
    // With a the block's absmax: the scaled value is off by at most 2^-21 (above 2^126 the reciprocal is subnormal), its
    // code by half a gap. Below the floor codes are those of too small a value of the same sign: off by at most a.
    errorBound(input, { blockSize, absmax }) {
      const largest = new Float32Array(Math.ceil(input.length / blockSize));
      const bound = new Float64Array(input.length);
      forBlocks(input.length, blockSize, (start, end, block) => {
        const own2 = absmaxOf(input, start, end);
        largest[block] = end - start === blockSize ? own2 : Math.max(own2, smallest2);
        bound.fill((own2 < smallest2 ? own2 : own2 * (halfGap2 + 2 ** -21)) + 2 ** -148, start, end);
      });
      if (absmax instanceof Float32Array) return bound;
      const nested = nestedBound(largest);
      return bound.map((value, i) => value + nested[Math.floor(i / blockSize)] * (1 + 2 ** -20));
    }
  };
  return scheme;
}

// packages/quant/src/schemes/nf4.ts
var nf42 = codebookScheme("nf4", nf4.table, false);

// packages/quant/src/schemes/fp4.ts
var fp42 = codebookScheme("fp4", fp4.table, true);

// packages/quant/src/ggufBlocks.ts
var blockFormats = new Map(
  Object.values(formats_exports).filter(({ name }) => packedFormats.has(name)).map((format) => [format.name, format])
);
function ggufDequantize(format, packed, out) {
  const to = checkOut(format.name, packed, out);
  format.decode(packed.bytes, sizeOf(packed.shape), to);
  return to;
}
function ggufBytes(format, shape) {
  if ((shape.at(-1) ?? 1) % format.blockSize !== 0)
    throw new ShapeError(
      format.name,
      `the last axis must be a multiple of ${format.blockSize}, got ${show(shape)}.`
    );
  return bytesFor(format, sizeOf(shape));
}
function ggufToDevice({ scheme, shape, bytes: bytes2 }) {
  return { layout: layoutNamed(scheme, shape), parts: [wordsOfBytes(bytes2)] };
}
function ggufFromDevice({ layout, parts: [words] }) {
  const { format, shape } = layout;
  const { blockSize, blockBytes } = blocksNamed(format.name);
  const bytes2 = bytesOfWords(words).slice(0, sizeOf(shape) / blockSize * blockBytes);
  return { scheme: format.name, shape, bytes: bytes2 };
}
function blocksNamed(name) {
  const format = blockFormats.get(name);
  if (format === void 0)
    throw new ValueError(
      "blocksNamed",
      `the format must be one of ${[...blockFormats.keys()].join(", ")}, got "${name}".`
    );
  return format;
}
function writeScale(name, bytes2, at, scale, block) {
  const [bits2] = f32ToF16(Float32Array.of(scale));
  if ((bits2 & 31744) === 31744)
    throw new ValueError(name, `the scale of block ${block} must fit in float16, got ${scale}.`);
  bytes2[at] = bits2 & 255;
  bytes2[at + 1] = bits2 >>> 8;
}
function scaleError(scale) {
  return Math.abs(f16ToF32(f32ToF16(Float32Array.of(scale)))[0] - scale);
}

// packages/quant/src/schemes/index.ts
var schemes_exports = {};
__export(schemes_exports, {
  fp4: () => fp42,
  int4: () => int42,
  int4Asymmetric: () => int4Asymmetric2,
  int8: () => int82,
  nf4: () => nf42,
  q4_0: () => q4_02,
  q8_0: () => q8_02
});

// packages/quant/src/rounding.ts
function roundHalfEven2(value) {
  const below = Math.floor(value);
  const over = value - below;
  if (over === 0.5) return below % 2 === 0 ? below : below + 1;
  return over < 0.5 ? below : below + 1;
}
function roundHalfAway(value) {
  const size = Math.abs(value);
  const below = Math.floor(size);
  const rounded = size - below >= 0.5 ? below + 1 : below;
  return value < 0 ? -rounded : rounded;
}

// packages/quant/src/schemes/int4.ts
var int42 = {
  name: "int4",
  rounding: "halfEven",
  options: { groupSize: [64, 32, 128, 256] },
  keepsZero: true,
  keepsNegation: true,
  quantize(values, shape, options) {
    const { groupSize } = resolveOptions(int42, options);
    checkValues("int4", values, shape);
    const scale = new Float32Array(Math.ceil(values.length / groupSize));
    const codes = new Uint8Array(values.length).fill(8);
    forBlocks(values.length, groupSize, (start, end, group) => {
      scale[group] = absmaxOf(values, start, end) / 7;
      if (scale[group] === 0) return;
      for (let i = start; i < end; i++)
        codes[i] = 8 + Math.max(-7, Math.min(7, roundHalfEven2(values[i] / scale[group])));
    });
    return { scheme: "int4", shape, groupSize, codes: packNibbles(codes, "lowFirst", 8), scale };
  },
  dequantize(packed, out) {
    const to = checkOut("int4", packed, out);
    const { groupSize, codes, scale } = packed;
    const count = sizeOf(packed.shape);
    if (scale.length !== Math.ceil(count / groupSize))
      throw new ValueError(
        "int4",
        `${count} values in groups of ${groupSize} must have ${Math.ceil(count / groupSize)} scales, got ${scale.length}.`
      );
    const unpacked = unpackNibbles(codes, count, "lowFirst");
    for (let i = 0; i < count; i++) to[i] = (unpacked[i] - 8) * scale[Math.floor(i / groupSize)];
    return to;
  },
  codes({ shape, codes }) {
    return Int16Array.from(unpackNibbles(codes, sizeOf(shape), "lowFirst"), (code) => code - 8);
  },
  toDevice({ shape, groupSize, codes, scale }) {
    const layout = layoutNamed("int4", shape, { blockSize: groupSize });
    return { layout, parts: [wordsOfBytes(codes), scale] };
  },
  fromDevice({ layout: { shape, blockSize: groupSize }, parts: [words, scale] }) {
    const codes = bytesOfWords(words).slice(0, Math.ceil(sizeOf(shape) / 2));
    return { scheme: "int4", shape, groupSize, codes, scale: Float32Array.from(scale) };
  },
  bytes(shape, options) {
    const { groupSize } = resolveOptions(int42, options);
    const count = sizeOf(shape);
    return Math.ceil(count / 2) + 4 * Math.ceil(count / groupSize);
  },
  // Half a scale; the scale itself is rounded by 2^-24 of it or 2^-150, seven times that at code 7.
  errorBound(values, { groupSize }) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, groupSize, (start, end) => {
      bound.fill(absmaxOf(values, start, end) * (1 / 14 + 2 ** -20) + 2 ** -146, start, end);
    });
    return bound;
  }
};

// packages/quant/src/schemes/int4Asymmetric.ts
var int4Asymmetric2 = {
  name: "int4-asymmetric",
  rounding: "halfEven",
  options: { groupSize: [64, 32, 128, 256] },
  keepsZero: false,
  keepsNegation: true,
  quantize(values, shape, options) {
    const { groupSize } = resolveOptions(int4Asymmetric2, options);
    checkValues("int4-asymmetric", values, shape);
    const groups = Math.ceil(values.length / groupSize);
    const scale = new Float32Array(groups);
    const minimum = new Float32Array(groups);
    const codes = new Uint8Array(values.length);
    forBlocks(values.length, groupSize, (start, end, group) => {
      const [low, high] = rangeOf(values, start, end);
      minimum[group] = low;
      scale[group] = (high - low) / 15;
      if (!Number.isFinite(Math.fround(low + 15 * scale[group]))) scale[group] *= 1 - 2 ** -24;
      if (scale[group] === 0) return;
      for (let i = start; i < end; i++)
        codes[i] = Math.min(15, roundHalfEven2((values[i] - low) / scale[group]));
    });
    return {
      scheme: "int4-asymmetric",
      shape,
      groupSize,
      codes: packNibbles(codes, "lowFirst"),
      scale,
      minimum
    };
  },
  dequantize(packed, out) {
    const to = checkOut("int4-asymmetric", packed, out);
    const { groupSize, codes, scale, minimum } = packed;
    const count = sizeOf(packed.shape);
    const groups = Math.ceil(count / groupSize);
    if (scale.length !== groups || minimum.length !== groups)
      throw new ValueError(
        "int4-asymmetric",
        `${count} values in groups of ${groupSize} must have ${groups} scales and minima, got ${scale.length} and ${minimum.length}.`
      );
    const unpacked = unpackNibbles(codes, count, "lowFirst");
    for (let i = 0; i < count; i++) {
      const group = Math.floor(i / groupSize);
      to[i] = minimum[group] + unpacked[i] * scale[group];
    }
    return to;
  },
  codes({ shape, codes }) {
    return Int16Array.from(unpackNibbles(codes, sizeOf(shape), "lowFirst"));
  },
  toDevice({ shape, groupSize, codes, scale, minimum }) {
    const layout = layoutNamed("int4-asymmetric", shape, { blockSize: groupSize });
    return { layout, parts: [wordsOfBytes(codes), scale, minimum] };
  },
  fromDevice({ layout: { shape, blockSize: groupSize }, parts: [words, scale, minimum] }) {
    const codes = bytesOfWords(words).slice(0, Math.ceil(sizeOf(shape) / 2));
    return {
      scheme: "int4-asymmetric",
      shape,
      groupSize,
      codes,
      scale: Float32Array.from(scale),
      minimum: Float32Array.from(minimum)
    };
  },
  bytes(shape, options) {
    const { groupSize } = resolveOptions(int4Asymmetric2, options);
    const count = sizeOf(shape);
    return Math.ceil(count / 2) + 8 * Math.ceil(count / groupSize);
  },
  // Half a scale, the rounding of the scale (15 times 2^-23 of it, or 2^-150), and of the sum.
  errorBound(values, { groupSize }) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, groupSize, (start, end) => {
      const [low, high] = rangeOf(values, start, end);
      const largest = Math.max(Math.abs(low), Math.abs(high));
      bound.fill((high - low) * (1 / 30 + 2 ** -20) + largest * 2 ** -22 + 2 ** -145, start, end);
    });
    return bound;
  }
};
function rangeOf(values, start, end) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = start; i < end; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return [low, high];
}

// packages/quant/src/schemes/int8.ts
var int82 = {
  name: "int8",
  rounding: "halfEven",
  options: {},
  keepsZero: true,
  keepsNegation: true,
  quantize(values, shape) {
    checkValues("int8", values, shape);
    const halves = f16ToF32(f32ToF16(values));
    const large = halves.findIndex((value) => !Number.isFinite(value));
    if (large >= 0) throw new ValueError("int8", `value ${large} must fit in float16, got ${values[large]}.`);
    const columns = columnsOf2(shape);
    const codes = new Int8Array(values.length);
    const absmax = new Float32Array(values.length === 0 ? 0 : values.length / columns);
    forBlocks(values.length, columns, (start, end, row) => {
      absmax[row] = absmaxOf(halves, start, end);
      if (absmax[row] === 0) return;
      const scale = Math.fround(Math.fround(1 / absmax[row]) * 127);
      for (let i = start; i < end; i++) codes[i] = roundHalfEven2(Math.fround(halves[i] * scale));
    });
    return { scheme: "int8", shape, codes, absmax };
  },
  dequantize(packed, out) {
    const to = checkOut("int8", packed, out);
    const { codes, absmax, shape } = packed;
    const count = sizeOf(shape);
    const columns = columnsOf2(shape);
    if (codes.length !== count || absmax.length * columns !== count)
      throw new ValueError(
        "int8",
        `${show(shape)} must be ${count} codes and a scale for each row, got ${codes.length} and ${absmax.length}.`
      );
    for (let i = 0; i < count; i++) to[i] = codes[i] * absmax[Math.floor(i / columns)] / 127;
    return to;
  },
  codes({ codes }) {
    return Int16Array.from(codes);
  },
  toDevice({ shape, codes, absmax }) {
    return { layout: layoutNamed("int8", shape), parts: [wordsOfBytes(codes), absmax] };
  },
  fromDevice({ layout: { shape }, parts: [words, absmax] }) {
    const codes = new Int8Array(bytesOfWords(words).slice(0, sizeOf(shape)).buffer);
    return { scheme: "int8", shape, codes, absmax: Float32Array.from(absmax) };
  },
  bytes(shape) {
    const count = sizeOf(shape);
    return count === 0 ? 0 : count + 4 * count / columnsOf2(shape);
  },
  // Half a step of the rounded value, plus float16's rounding: 2^-11 of a normal value, 2^-25 below.
  errorBound(values, { shape }) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, columnsOf2(shape), (start, end) => {
      const absmax = absmaxOf(values, start, end) * (1 + 2 ** -11) + 2 ** -25;
      for (let i = start; i < end; i++)
        bound[i] = absmax * (1 / 254 + 2 ** -20) + Math.abs(values[i]) * 2 ** -11 + 2 ** -25;
    });
    return bound;
  }
};
function columnsOf2(shape) {
  const columns = shape.at(-1);
  if (columns === void 0) throw new ShapeError("int8", "weights must have at least one axis, got [].");
  return columns;
}

// packages/quant/src/schemes/q4_0.ts
var q4_02 = {
  name: "q4_0",
  rounding: "addHalfTruncate",
  options: {},
  keepsZero: true,
  keepsNegation: true,
  quantize(values, shape) {
    checkValues("q4_0", values, shape);
    const bytes2 = new Uint8Array(ggufBytes(q4_0, shape));
    forBlocks(values.length, 32, (start, _, block) => {
      const at = block * 18;
      const { d, inverse } = scaleOf2(values, start);
      writeScale("q4_0", bytes2, at, d, block);
      for (let j = 0; j < 16; j++)
        bytes2[at + 2 + j] = encode2(values[start + j], inverse) | encode2(values[start + 16 + j], inverse) << 4;
    });
    return { scheme: "q4_0", shape, bytes: bytes2 };
  },
  dequantize(packed, out) {
    return ggufDequantize(q4_0, packed, out);
  },
  codes({ bytes: bytes2 }) {
    const codes = new Int16Array(bytes2.length / 18 * 32);
    for (let i = 0; i < codes.length; i++) {
      const pair = bytes2[(i >>> 5) * 18 + 2 + (i & 15)];
      codes[i] = ((i & 16) === 0 ? pair & 15 : pair >>> 4) - 8;
    }
    return codes;
  },
  toDevice: ggufToDevice,
  fromDevice: ggufFromDevice,
  bytes(shape) {
    return ggufBytes(q4_0, shape);
  },
  // Half a step, or what is cut off (at most a whole one), and the rounding of the scale times the code, at most 8.
  errorBound(values) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, 32, (start, end) => {
      const { d, inverse, largest } = scaleOf2(values, start);
      let steps = 0.5;
      for (let i = start; i < end; i++) steps = Math.max(steps, values[i] * inverse - 7);
      const step2 = inverse === 0 ? Math.abs(largest) : steps * Math.abs(d);
      bound.fill(step2 + 8 * scaleError(d) + Math.abs(largest) * 2 ** -20 + 2 ** -146, start, end);
    });
    return bound;
  }
};
function scaleOf2(values, start) {
  let largest = 0;
  for (let i = start; i < start + 32; i++) if (Math.abs(values[i]) > Math.abs(largest)) largest = values[i];
  const d = Math.fround(largest / -8);
  const inverse = Math.fround(1 / d);
  return { d, inverse: Number.isFinite(inverse) ? inverse : 0, largest };
}
function encode2(value, inverse) {
  return Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5)));
}

// packages/quant/src/schemes/q8_0.ts
var q8_02 = {
  name: "q8_0",
  rounding: "halfAwayFromZero",
  options: {},
  keepsZero: true,
  keepsNegation: true,
  quantize(values, shape) {
    checkValues("q8_0", values, shape);
    const bytes2 = new Uint8Array(ggufBytes(q8_0, shape));
    forBlocks(values.length, 32, (start, end, block) => {
      const at = block * 34;
      const d = Math.fround(absmaxOf(values, start, end) / 127);
      writeScale("q8_0", bytes2, at, d, block);
      const inverse = inverseOf(d);
      for (let i = start; i < end; i++)
        bytes2[at + 2 + i - start] = roundHalfAway(Math.fround(values[i] * inverse));
    });
    return { scheme: "q8_0", shape, bytes: bytes2 };
  },
  dequantize(packed, out) {
    return ggufDequantize(q8_0, packed, out);
  },
  codes({ bytes: bytes2 }) {
    const codes = new Int16Array(bytes2.length / 34 * 32);
    for (let i = 0; i < codes.length; i++) codes[i] = bytes2[(i >>> 5) * 34 + 2 + (i & 31)] << 24 >> 24;
    return codes;
  },
  toDevice: ggufToDevice,
  fromDevice: ggufFromDevice,
  bytes(shape) {
    return ggufBytes(q8_0, shape);
  },
  // Half a step, and the rounding of the scale times the code, which is at most 127.
  errorBound(values) {
    const bound = new Float64Array(values.length);
    forBlocks(values.length, 32, (start, end) => {
      const absmax = absmaxOf(values, start, end);
      const d = Math.fround(absmax / 127);
      const step2 = inverseOf(d) === 0 ? absmax : d / 2;
      bound.fill(step2 + 127 * scaleError(d) + absmax * 2 ** -20 + 2 ** -142, start, end);
    });
    return bound;
  }
};
function inverseOf(d) {
  const inverse = Math.fround(1 / d);
  return Number.isFinite(inverse) ? inverse : 0;
}

// packages/quant/src/dequantize.ts
var byName = new Map(
  Object.values(schemes_exports).map((scheme) => [scheme.name, scheme])
);
function schemeNamed(name) {
  const scheme = byName.get(name);
  if (scheme === void 0)
    throw new ValueError(
      "schemeNamed",
      `scheme must be one of ${[...byName.keys()].join(", ")}, got "${name}".`
    );
  return scheme;
}

// packages/quant/src/deviceForm.ts
function deviceFormOf(packed) {
  const { scheme, shape } = packed;
  const blocks2 = blockFormats.get(scheme);
  const form = blocks2 ? ggufToDevice(packed) : schemeNamed(scheme).toDevice(packed);
  for (const [i, { name, size }] of form.layout.format.parts(form.layout).entries())
    if (form.parts[i].length !== size)
      throw new ValueError(
        scheme,
        `${name} must take ${size} words for [${shape.join(", ")}], got ${form.parts[i].length}.`
      );
  blocks2?.validate(packed.bytes);
  return form;
}

// packages/quant/src/quantize.ts
function quantize(values, shape, options) {
  return schemeNamed(options.scheme).quantize(values, shape, schemeOptions(options));
}
function schemeOptions({ scheme, blockSize, doubleQuant }) {
  const groups = "groupSize" in schemeNamed(scheme).options;
  return {
    ...blockSize !== void 0 && { [groups ? "groupSize" : "blockSize"]: blockSize },
    ...doubleQuant === true && { doubleQuant }
  };
}

// benchmarks/src/suites/quantized.ts
var schemes = [
  { scheme: "nf4" },
  { scheme: "nf4", doubleQuant: true },
  { scheme: "fp4" },
  { scheme: "int8" },
  { scheme: "int4" },
  { scheme: "int4-asymmetric" },
  { scheme: "q4_0" },
  { scheme: "q8_0" }
];
var weights = [
  [576, 576],
  [1536, 576],
  [576, 1536]
];
var tokens = 128;
var quantizedSuite = {
  name: "quantized",
  async cases(devices2) {
    return devices2.flatMap((device) => weights.flatMap(([rows, columns]) => casesOf(device, rows, columns)));
  }
};
function casesOf(device, rows, columns) {
  const generator = new Generator(0);
  const random = (n) => {
    let state = 7;
    return Float32Array.from({ length: n }, () => {
      state = Math.imul(state, 1664525) + 1013904223 >>> 0;
      return state / 2 ** 32 - 0.5;
    });
  };
  const values = random(rows * columns);
  const shape = [rows, columns];
  const x = uniform(device, generator.next(), [tokens, columns]);
  const dy = uniform(device, generator.next(), [tokens, rows]);
  const dense2 = fromArray(device, values, shape);
  const flops = 2 * tokens * rows * columns;
  const place = `${device.kind} [${shape}]`;
  const made = (what, name, run, rate) => ({
    name: `${place} ${what} ${name}`,
    device,
    group: `${place} ${what}`,
    flops: rate,
    run: () => scope(() => void run())
  });
  const cases = [
    made("forward", "f32", () => matmul(x, dense2, { transposeB: true }), flops),
    made("backward", "f32", () => matmul(dy, dense2), flops)
  ];
  for (const options of schemes) {
    const name = options.scheme + ("doubleQuant" in options ? " nested" : "");
    const { layout, parts: host } = deviceFormOf(quantize(values, shape, options));
    const parts = host.map(
      (part) => fromBits(device, part, [part.length], { dtype: part instanceof Float32Array ? "f32" : "u32" })
    );
    const weight = { layout, parts };
    cases.push(
      made("forward", name, () => packedMatmul(x, weight), flops),
      made("backward", name, () => packedMatmul(dy, weight, { transpose: false }), flops),
      made("dequantize", name, () => unpackWeight(weight))
    );
    if (device.kind === "cpu")
      cases.push({
        name: `host [${shape}] quantize ${name}`,
        device,
        group: `${place} quantize`,
        run: () => void quantize(values, shape, options)
      });
  }
  return cases;
}

// benchmarks/src/zz.tmp.ts
var which = process.argv[2] ?? "both";
var devices = [...which !== "cpu" ? [await openWebGpu()] : [], ...which !== "gpu" ? [openCpu()] : []];
var filter = process.argv[3] ?? "";
var suite = { ...quantizedSuite, cases: async (d) => (await quantizedSuite.cases(d)).filter((c) => new RegExp(filter).test(c.name)) };
for (const r of await measure(suite, devices, Number(process.argv[4] ?? 5)))
  console.log(r.case.padEnd(50), r.ms.toFixed(3).padStart(9), "ms", "x" + r.speedup.toFixed(2), r.gflops?.toFixed(1) ?? "");
process.exit(0);
