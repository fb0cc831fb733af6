import type { Variable } from "../autograd/node.ts";
import { full } from "../create.ts";
import type { Device, View } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import { CompileError, DeviceError } from "../errors.ts";
import { currentScope, openScope, scope } from "../scope.ts";
import { show, sizeOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import type { Arena } from "./arena.ts";
import { copyRun } from "./copyRun.ts";
import { fingerprint } from "./fingerprint.ts";
import { type LeftGrad, type Ports, Program } from "./program.ts";
import { rewrite } from "./rewrite.ts";
import { structureVersion } from "./structure.ts";
import { activeTrace, Trace, TracedStorage, traced } from "./trace.ts";
import { isTensor, mapLeaves } from "./tree.ts";

/** What the steps of one compiled function share. */
export interface StepOptions {
  readonly fuse: boolean;
  readonly arena: Arena;
}

/** One traced call of a step function: what it did, and the program that does it again. */
export class Step {
  readonly #trace: Trace;
  readonly #ports: Ports;
  readonly #options: StepOptions;
  #program: Program | undefined;
  /** What the function returned, with traced tensors in it. */
  readonly #result: unknown;
  /** Leaves whose gradient the step takes away. */
  readonly #cleared: readonly Variable[];
  readonly #fingerprint: string;
  #structure = structureVersion();
  /** The trace has computed the live values of a replay that did not come yet, and some were not taken back. */
  #isFresh = true;
  #isDisposed = false;

  constructor(
    trace: Trace,
    ports: Ports,
    result: unknown,
    cleared: readonly Variable[],
    options: StepOptions,
  ) {
    this.#trace = trace;
    this.#ports = ports;
    this.#options = options;
    this.#fingerprint = fingerprint(trace, ports, result, cleared);
    this.#result = result;
    this.#cleared = cleared;
  }

  /** Made when it is first needed: a trace that does the same as another needs none. */
  get program(): Program {
    const { fuse, arena } = this.#options;
    this.#program ??= new Program(this.#trace, this.#ports, fuse ? rewrite : (runs) => runs, arena);
    return this.#program;
  }

  /** Whether the function would do the same now: no layer has changed, and gradients are where they were. */
  isCurrent(): boolean {
    return (
      this.#structure === structureVersion() &&
      [...this.#trace.entryGrads].every(([variable, entry]) => variable.grad?.storage === entry?.storage)
    );
  }

  /** Goes on for `other`, which was traced just now, if both do the same. */
  takeOver(other: Step): boolean {
    if (other.#fingerprint !== this.#fingerprint) return false;
    this.#structure = other.#structure;
    const trace = this.#trace;
    trace.lives.forEach((live, i) => {
      const { values, compute, undo } = other.#trace.lives[i];
      Object.assign(live.values, values);
      Object.assign(live, { compute, undo });
    });
    trace.entryGrads.clear();
    for (const [variable, entry] of other.#trace.entryGrads) trace.entryGrads.set(variable, entry);
    trace.generators.clear();
    for (const [generator, draws] of other.#trace.generators) trace.generators.set(generator, draws);
    this.#isFresh = true;
    other.dispose();
    return true;
  }

  async warmUp(): Promise<void> {
    const { program } = this;
    await program.device.warm(program.lowered);
    if (!this.#isDisposed) program.realise();
  }

  run(args: readonly unknown[]): unknown {
    const { program } = this;
    const leaves = leavesOf(args);
    this.#check(leaves);
    program.realise();
    this.#fill(leaves);
    this.#refresh();
    program.replay();
    for (const variable of this.#cleared) setGrad(variable, undefined);
    for (const { variable, meta, view } of program.ports.left)
      setGrad(variable, new Tensor(meta, program.real(view.storage).retain(), view.offset));
    return mapLeaves(this.#result, (tensor) => this.#given(tensor));
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#program?.dispose();
    this.#trace.release();
  }

  /** Computes again what changes from step to step. */
  #refresh(): void {
    const { lives, generators } = this.#trace;
    const isFresh = this.#isFresh;
    this.#isFresh = false;
    for (const [generator, draws] of generators) draws.now = generator.count;
    for (const { values, compute, undo } of lives)
      if (!isFresh || undo !== undefined) Object.assign(values, compute());
    for (const [generator, draws] of generators) generator.count = draws.now + draws.advance;
  }

  /** Throws, before anything has moved on, where arguments cannot be copied into their places. */
  #check(leaves: readonly (Tensor | number)[]): void {
    const { trace, ports } = this.program;
    for (const [i, leaf] of leaves.entries()) {
      if (typeof leaf === "number") continue;
      leaf.checkAlive("compile");
      const { storage } = leaf;
      if (!trace.captured.has(storage)) continue;
      // A copy from before the step is the same tensor only until the step changes it.
      const changed = trace.runs.findIndex(({ op, inputs }) =>
        op.mutates?.some((m) => inputs[m].storage === storage),
      );
      const place = ports.args[i];
      const isReadLater =
        ports.results.some((result) => result.storage === place) ||
        trace.runs.some(({ inputs }, at) => at > changed && inputs.some((input) => input.storage === place));
      if (changed >= 0 && isReadLater)
        throw new CompileError(
          "compile",
          `argument tensor ${i} must not be one that the step changes in place, got ${show(leaf.shape)}. Pass a clone() of it, or take it from outside of the step alone.`,
        );
    }
  }

  #fill(leaves: readonly (Tensor | number)[]): void {
    const { program } = this;
    leaves.forEach((leaf, i) => {
      if (!program.isRead(i)) return;
      const storage = program.real(program.ports.args[i]);
      if (typeof leaf === "number") {
        program.device.upload(storage, Float32Array.of(leaf));
        return;
      }
      program.device.copy(leaf, { shape: leaf.shape, dtype: leaf.dtype, storage, offset: 0 });
    });
  }

  /** A result for the caller: a copy, since the next replay writes to the same place. */
  #given(tensor: Tensor): Tensor {
    const { device } = this.program;
    const { shape, dtype, storage, offset } = tensor;
    let given: Tensor;
    if (storage instanceof TracedStorage) {
      const copy = device.allocate(dtype, sizeOf(shape));
      device.copy(
        { shape, dtype, storage: this.program.real(storage), offset },
        { shape, dtype, storage: copy, offset: 0 },
      );
      given = new Tensor(tensor, copy, 0);
    } else given = new Tensor(tensor, storage.retain(), offset);
    currentScope()?.addTensor(given);
    return given;
  }
}

/** Runs `fn` on tensors without values and makes a step of what it does. Leaves gradients and generators as they were before a replay. */
export function traceStep(
  fn: (...args: unknown[]) => unknown,
  args: readonly unknown[],
  options: StepOptions,
): Step {
  const trace = new Trace();
  const leaves = leavesOf(args);
  const device = deviceOf(leaves);
  const places = leaves.map((leaf) => placeFor(leaf, device));
  trace.device = device;
  for (const { storage } of places) trace.args.add(storage);
  let next = 0;
  const place = (): Tensor => places[next++];
  const inner = args.map((arg) => (typeof arg === "number" ? place() : mapLeaves(arg, place)));
  let result: unknown;
  // What the function returns has no values, and its record is of no use.
  using _ = openScope();
  try {
    result = traced(trace, () =>
      scope(() => {
        const given = fn(...inner);
        if (!(given instanceof Promise)) return given;
        given.catch(() => {});
        throw new CompileError(
          "compile",
          "the step must be synchronous, got an async function. Read values outside of it.",
        );
      }),
    );
  } catch (error) {
    trace.restoreGrads();
    trace.release();
    throw error;
  }
  const left: LeftGrad[] = [];
  // What the step makes, and no other gradient has taken.
  const made = new Set<Storage>(trace.runs.flatMap(({ outputs }) => outputs.map(({ storage }) => storage)));
  const cleared: Variable[] = [];
  for (const [variable, entry] of trace.entryGrads) {
    const now = variable.grad;
    if (now === undefined) {
      if (entry !== undefined) cleared.push(variable);
    } else if (now.storage instanceof TracedStorage) {
      if (places.some((tensor) => tensor.variable === variable)) {
        trace.restoreGrads();
        trace.release();
        throw new CompileError(
          "compile",
          `the step left a gradient on argument ${show(now.shape)}. Use grad(loss, [argument]) and return it.`,
        );
      }
      left.push(leave(trace, variable, now, entry, made));
    }
  }
  trace.restoreGrads();
  const results: View[] = [];
  mapLeaves(result, (tensor) => {
    if (tensor.storage instanceof TracedStorage) results.push(tensor);
    else trace.capture(tensor.storage);
    return tensor;
  });
  const ports = { args: places.map(({ storage }) => storage as TracedStorage), results, left }; // as placeFor makes them
  return new Step(trace, ports, result, cleared, options);
}

/** A gradient that stays goes to where the one before it was, or stays where it is. */
function leave(
  trace: Trace,
  variable: Variable,
  grad: Tensor,
  entry: View | undefined,
  free: Set<Storage>,
): LeftGrad {
  const { shape, dtype } = grad;
  const isWhole = grad.offset === 0 && grad.storage.bytes === Math.ceil(grad.bytes / 4) * 4;
  if (entry === undefined && isWhole && free.delete(grad.storage))
    return { variable, meta: { shape, dtype }, view: { shape, dtype, storage: grad.storage, offset: 0 } };
  const storage = entry?.storage ?? new TracedStorage(grad.device, dtype, grad.size);
  const view: View = { shape, dtype, storage, offset: entry?.offset ?? 0 };
  trace.capture(storage);
  trace.runs.push(copyRun(view, { shape, dtype, storage: grad.storage, offset: grad.offset }));
  return { variable, meta: { shape, dtype }, view };
}

function setGrad(variable: Variable, grad: Tensor | undefined): void {
  variable.grad?.dispose();
  variable.grad = grad;
}

/** The tensors and top-level numbers of the arguments, in order. */
function leavesOf(args: readonly unknown[]): (Tensor | number)[] {
  const leaves: (Tensor | number)[] = [];
  for (const arg of args) {
    if (typeof arg === "number") leaves.push(arg);
    else
      mapLeaves(arg, (tensor) => {
        leaves.push(tensor);
        return tensor;
      });
  }
  return leaves;
}

function deviceOf(leaves: readonly (Tensor | number)[]): Device | undefined {
  const devices = new Set(leaves.filter(isTensor).map((tensor) => tensor.device));
  const [device] = devices;
  if (devices.size > 1)
    throw new DeviceError(
      "compile",
      `all arguments must be on one device, got ${[...devices].map(({ kind }) => kind).join(" and ")}. Move one with await tensor.to(device).`,
    );
  return device;
}

/** A tensor without values in the place of an argument. */
function placeFor(leaf: Tensor | number, device: Device | undefined): Tensor {
  if (typeof leaf !== "number") {
    leaf.checkAlive("compile");
    const place = new Tensor(leaf, new TracedStorage(leaf.device, leaf.dtype, leaf.size), 0);
    return place.asNewLeaf(leaf.requiresGrad);
  }
  if (device === undefined) throw noDevice();
  return new Tensor({ shape: [], dtype: "f32" }, new TracedStorage(device, "f32", 1), 0);
}

/** Arguments of a compiled function inside of another: numbers become scalars here too. */
export function withScalars(args: readonly unknown[]): unknown[] {
  const device = deviceOf(leavesOf(args)) ?? activeTrace()?.device;
  return args.map((arg) => {
    if (typeof arg !== "number") return arg;
    if (device === undefined) throw noDevice();
    return full(device, [], arg);
  });
}

const noDevice = (): CompileError =>
  new CompileError("compile", "a number as argument needs a tensor beside it, which tells the device.");
