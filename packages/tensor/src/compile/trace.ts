import type { Variable } from "../autograd/node.ts";
import type { Device, View } from "../device/device.ts";
import { Storage } from "../device/storage.ts";
import { bytesPer, type DType } from "../dtype.ts";
import { CompileError, DeviceError } from "../errors.ts";
import type { Op } from "../ops/op.ts";
import { type Generator, traceKeys } from "../random/generator.ts";
import type { Tensor } from "../tensor.ts";
import { changesNothing, hear, hearLive, type Live } from "./live.ts";

/** A storage that does not exist: the place of a value in a step that is being traced. */
export class TracedStorage extends Storage {
  readonly dtype: DType;
  /** In values. */
  readonly size: number;

  constructor(device: Device, dtype: DType, size: number) {
    super(device, size * bytesPer(dtype));
    this.dtype = dtype;
    this.size = size;
  }

  protected override freed(): void {
    // There is nothing to give back: the plan knows the lifetimes.
  }
}

/** One op of a step, over storages that are traced or (parameters, moments, constants) real. */
export interface Run {
  readonly op: Op<unknown>;
  readonly attrs: unknown;
  readonly inputs: readonly View[];
  readonly outputs: readonly View[];
}

/** Where a generator stood when the step began, and by how much the step moves it. */
export interface Draws {
  readonly base: number;
  advance: number;
  /** Where it stood at the beginning of the replay that is running. */
  now: number;
}

const captures = new WeakMap<Storage, number>();

/** How many steps hold a storage. */
export const capturesOf = (storage: Storage): number => captures.get(storage) ?? 0;

/** What one run of a step function was seen to do. */
export class Trace {
  readonly runs: Run[] = [];
  readonly lives: Live[] = [];
  readonly generators = new Map<Generator, Draws>();
  /** The gradients of leaves as the step found them; held until `restoreGrads`. */
  readonly entryGrads = new Map<Variable, View | undefined>();
  /** Real storages that the step reads or writes; each is held once. */
  readonly captured = new Set<Storage>();
  device: Device | undefined;
  /** What stands in the place of the arguments. */
  readonly args = new Set<Storage>();
  /** Real storages that were filled from the host while the step was traced. */
  readonly #uploaded = new WeakSet<Storage>();
  /** The same as tensors: the handle that was there, and one of our own that holds the storage. */
  readonly #entryGrads = new Map<Variable, { grad: Tensor; held: Tensor } | undefined>();

  allocate(device: Device, dtype: DType, size: number): TracedStorage {
    return new TracedStorage(device, dtype, size);
  }

  record<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    for (const i of op.mutates ?? []) this.#checkChange(op.name, inputs[i].storage);
    for (const { storage } of [...inputs, ...outputs]) {
      this.device ??= storage.device;
      if (storage.device !== this.device)
        throw new DeviceError(
          op.name,
          `all tensors of a compiled step must be on one device, got ${this.device.kind} and ${storage.device.kind}. Move one with await tensor.to(device).`,
        );
      this.capture(storage);
    }
    this.runs.push({
      op: op as Op<unknown>, // the run hands attrs back to this op alone
      attrs,
      inputs: inputs.map(viewOf),
      outputs: outputs.map(viewOf),
    });
  }

  /** Holds a real storage as long as the trace lives. */
  capture(storage: Storage): void {
    if (storage instanceof TracedStorage || this.captured.has(storage)) return;
    this.captured.add(storage.retain());
    captures.set(storage, capturesOf(storage) + 1);
  }

  /** Notes a storage that is filled while the step is traced, and not again. */
  noteUpload(storage: Storage): void {
    this.#uploaded.add(storage);
  }

  /** Throws where a change in place would be lost, or be there once too often at the next call. */
  #checkChange(who: string, storage: Storage): void {
    if (this.args.has(storage))
      throw new CompileError(
        who,
        "an argument of a compiled step must stay as it is, got a change in place, which the caller's tensor would not see. Return the new value, or take the tensor from outside of the step.",
      );
    if (this.#uploaded.has(storage))
      throw new CompileError(
        who,
        "a tensor that is made from host values inside a compiled step must stay as it is, got a change in place: it is made once, and not again at every call. Change a clone() of it, or make it outside of the step.",
      );
  }

  /** Notes the gradient that a leaf had before the step touched it. */
  noteGrad(variable: Variable): void {
    if (this.entryGrads.has(variable)) return;
    const { grad } = variable;
    this.#entryGrads.set(variable, grad === undefined ? undefined : { grad, held: grad.alias(true) });
    this.entryGrads.set(variable, grad === undefined ? undefined : viewOf(grad));
  }

  /** Puts the gradients back where the step found them: tracing changes nothing. */
  restoreGrads(): void {
    for (const [variable, entry] of this.#entryGrads) {
      const isThere = entry !== undefined && variable.grad === entry.grad && !entry.grad.disposed;
      if (isThere) entry.held.dispose();
      else {
        variable.grad?.dispose();
        variable.grad = entry?.held;
      }
    }
    this.#entryGrads.clear();
  }

  /** Gives back what was captured. */
  release(): void {
    for (const storage of this.captured) {
      captures.set(storage, capturesOf(storage) - 1);
      storage.release();
    }
    this.captured.clear();
  }
}

const viewOf = ({ shape, dtype, storage, offset }: View): View => ({ shape, dtype, storage, offset });

let active: Trace | undefined;

/** The step that is being traced, if one is. */
export const activeTrace = (): Trace | undefined => active;

/** Whether a step is being traced: tensors that are made now have no values, and are gone with the step. */
export const isTracing = (): boolean => active !== undefined;

/**
 * Runs `fn` and sees what it would do, on storages that do not exist. Generators stand afterwards where they stood, and counters of
 * `everyStep` too where it was told how.
 */
export function traced<T>(trace: Trace, fn: () => T): T {
  const before = active;
  active = trace;
  const onKey: Parameters<typeof traceKeys>[0] = (generator, count, key) => {
    let draws = trace.generators.get(generator);
    if (draws === undefined) {
      draws = { base: count, advance: 0, now: count };
      trace.generators.set(generator, draws);
    }
    const { base } = draws;
    const own = draws;
    const values: [number, number] = [key[0], key[1]];
    const compute = () => generator.keyAt(own.now + count - base);
    hear({ values, compute, undo: changesNothing });
    return values;
  };
  try {
    return hearLive(
      (live) => trace.lives.push(live),
      () => traceKeys(onKey, fn),
    );
  } finally {
    active = before;
    for (const { undo } of [...trace.lives].reverse()) undo?.();
    for (const [generator, draws] of trace.generators) {
      draws.advance = generator.count - draws.base;
      generator.count = draws.base;
    }
  }
}

/** Throws where a value of a step that was traced is used outside of it. */
export function checkReal(who: string, storage: Storage): void {
  if (storage instanceof TracedStorage)
    throw new CompileError(
      who,
      "the tensor was made inside a compiled step and has no values here. Return it from the step.",
    );
}

/** Throws, at once and not through a promise, where values are read inside a step that is being traced. */
export function checkReadable(who: string): void {
  if (active !== undefined)
    throw new CompileError(
      who,
      "values cannot be read inside a compiled step: it is traced without them. Return the tensor and read it outside; choose between values with where().",
    );
}
