import type { Variable } from "../autograd/node.ts";
import type { Device, Lowered, Replayer, View } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import { CompileError, internal } from "../errors.ts";
import type { Meta } from "../ops/op.ts";
import { sizeOf } from "../shape.ts";
import type { Arena } from "./arena.ts";
import { withoutDead } from "./deadRuns.ts";
import type { Pass } from "./links.ts";
import { place } from "./place.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import { capturesOf, type Run, type Trace, TracedStorage } from "./trace.ts";

/** A leaf whose gradient the step leaves behind, in a storage that the program owns. */
export interface LeftGrad {
  readonly variable: Variable;
  readonly meta: Meta;
  /** Where the gradient is: a traced storage of its own, or the one that it was in before the step. */
  readonly view: View;
}

/** What a trace says about the tensors that go in and out of a step. */
export interface Ports {
  readonly args: readonly TracedStorage[];
  /** Views of traced values that the step returns. */
  readonly results: readonly View[];
  readonly left: readonly LeftGrad[];
}

/** A figure of a plan, known before anything runs. */
export interface PlanReport {
  /** Dispatches (ops on the CPU) of one step. */
  readonly dispatches: number;
  readonly ops: number;
  /** Bytes of the buffers that the step's own values take: its peak beside parameters and other captured tensors. */
  readonly bytes: number;
  readonly buffers: number;
  /** Bytes of what the step captured: parameters, moments, tables. */
  readonly capturedBytes: number;
  /** Floating-point operations of one step. */
  readonly flops: number;
  /** How often each op is dispatched. */
  readonly byOp: ReadonlyMap<string, number>;
}

/** A step as its device does it, with captured storages where they lay when it was built. */
interface Built {
  readonly runs: readonly Run[];
  readonly lowered: readonly Lowered[];
  readonly plan: MemoryPlan;
  readonly places: ReadonlyMap<Storage, Pick<Storage, "home" | "start">>;
}

const placeOf = ({ home, start }: Storage): Pick<Storage, "home" | "start"> => ({ home, start });

/** A traced step with its passes done and its memory planned; `realise` makes it run. */
export class Program {
  readonly trace: Trace;
  readonly ports: Ports;
  readonly device: Device;
  /** What is left of the trace after the passes, before values have places. */
  readonly #runs: readonly Run[];
  #built: Built;
  #slots: Storage[] | undefined;
  #replayer: Replayer | undefined;
  readonly #arena: Arena;
  /** Of the arena and the device, when the work was bound. */
  #arenaVersion = 0;
  #relocations = 0;
  /** Captured storages that the step changes in place, and the op that does it last. */
  readonly #changed: readonly { readonly storage: Storage; readonly op: string }[];
  readonly #own = new Map<TracedStorage, Storage>();

  constructor(trace: Trace, ports: Ports, rewrite: Pass, arena: Arena) {
    const device = trace.device;
    if (device === undefined)
      throw new CompileError("compile", "the step must run at least one op on a tensor, got none.");
    this.#arena = arena;
    this.trace = trace;
    this.ports = ports;
    this.device = device;
    const leaving = new Set(
      [...ports.results, ...ports.left.map(({ view }) => view)].map(({ storage }) => storage),
    );
    const live = withoutDead(trace.runs, leaving);
    this.#changed = changedBy(live);
    this.#runs = rewrite(live, leaving);
    this.#built = this.#build();
  }

  get runs(): readonly Run[] {
    return this.#built.runs;
  }

  get lowered(): readonly Lowered[] {
    return this.#built.lowered;
  }

  get plan(): MemoryPlan {
    return this.#built.plan;
  }

  /** Gives the values places, finds what their runs take and plans the memory. */
  #build(): Built {
    const { device, ports } = this;
    const left = new Set<Storage>(ports.left.map(({ view }) => view.storage));
    const results = ports.results.map(({ storage }) => storage);
    // Gradients that stay may have been joined by the step that reads them.
    const owned = (view: View): View => ({ ...view, storage: this.#ownOf(view.storage) ?? view.storage });
    const list = this.#runs.map((run) => ({
      ...run,
      inputs: run.inputs.map(owned),
      outputs: run.outputs.map(owned),
    }));
    const runs = place(device, list, new Set([...left, ...results, ...ports.args, ...this.#own.values()]));
    const lowered: Lowered[] = [];
    for (const run of runs) {
      lowered.push(
        ...device.lower(run, (dtype, size) => ({
          shape: [size],
          dtype,
          storage: new TracedStorage(device, dtype, size),
          offset: 0,
        })),
      );
    }
    const plan = planMemory(
      device,
      // Gradients that stay have storages of their own.
      lowered.map(({ storages }) => storages.filter((storage) => !left.has(storage))),
      ports.args,
      results.filter((storage) => storage instanceof TracedStorage && !left.has(storage)) as TracedStorage[], // by the filter
    );
    const places = new Map(this.#movable().map((storage) => [storage, placeOf(storage)]));
    return { runs, lowered, plan, places };
  }

  /** Storages that another step may join with others. */
  #movable(): Storage[] {
    return [...this.trace.captured, ...this.#own.values()];
  }

  /** Whether storages lie where they lay when the step was built, or where new ones do. */
  #isInPlace(): boolean {
    return this.#movable().every((storage) => {
      const { home, start } = this.#built.places.get(storage) ?? { home: undefined, start: 0 };
      return storage.home === home && storage.start === start;
    });
  }

  /** The storage of a gradient that stays, once there is one. */
  #ownOf(storage: Storage): Storage | undefined {
    return storage instanceof TracedStorage ? this.#own.get(storage) : undefined;
  }

  report(): PlanReport {
    const byOp = new Map<string, number>();
    for (const { name } of this.lowered) byOp.set(name, (byOp.get(name) ?? 0) + 1);
    return {
      dispatches: this.lowered.length,
      ops: this.runs.length,
      bytes: this.plan.bytes,
      buffers: this.plan.slots.length,
      capturedBytes: [...this.trace.captured].reduce((sum, { bytes }) => sum + bytes, 0),
      flops: this.runs.reduce((sum, run) => sum + flopsOf(run), 0),
      byOp,
    };
  }

  /** Takes the memory and binds the work to it, where that is not done. Throws OutOfMemoryError. */
  realise(): void {
    const isNew = this.#replaceKept();
    if (
      !isNew &&
      this.#replayer !== undefined &&
      this.#arenaVersion === this.#arena.version &&
      this.#relocations === this.device.relocations
    )
      return;
    const { device } = this;
    if (isNew || !this.#isInPlace()) this.#built = this.#build();
    const { plan } = this;
    this.#slots = this.#arena.reserve(device, plan.slots);
    for (const { view } of this.ports.left) {
      const { storage } = view;
      if (storage instanceof TracedStorage && !this.#own.has(storage))
        this.#own.set(storage, device.allocate(storage.dtype, storage.size));
    }
    this.#bind();
  }

  /** Gives up the storages of gradients that somebody kept from the last replay, so that they stay what they are. */
  #replaceKept(): boolean {
    const kept = [...this.#own].filter(([, storage]) => storage.users > 1 + capturesOf(storage));
    for (const [traced, storage] of kept) {
      this.#own.delete(traced);
      storage.release();
    }
    return kept.length > 0;
  }

  #bind(): void {
    this.#replayer?.dispose();
    this.#replayer = this.device.replayer(this.lowered, (storage) => this.real(storage));
    this.#relocations = this.device.relocations;
    this.#arenaVersion = this.#arena.version;
  }

  /** The storage behind one that the trace names. */
  real(storage: Storage): Storage {
    if (!(storage instanceof TracedStorage)) return storage;
    const own = this.#ownOf(storage);
    if (own !== undefined) return own;
    const slot = this.plan.slotOf.get(storage);
    const found = slot === undefined ? undefined : this.#slots?.[slot];
    if (found === undefined) throw internal("a value of a compiled step has no buffer");
    return found;
  }

  /** Whether anything reads argument number `i`. */
  isRead(i: number): boolean {
    return this.plan.slotOf.has(this.ports.args[i]);
  }

  /** Queues the step. The arguments' slots have been filled. */
  replay(): void {
    if (this.#replayer === undefined) throw internal("a program was replayed before it was realised");
    this.#replayer.replay();
    for (const { storage, op } of this.#changed) {
      storage.version++;
      storage.writer = op;
    }
  }

  dispose(): void {
    this.#replayer?.dispose();
    this.#replayer = undefined;
    for (const storage of this.#own.values()) storage.release();
    this.#slots = undefined;
    this.#own.clear();
  }
}

function changedBy(runs: readonly Run[]): { storage: Storage; op: string }[] {
  return runs.flatMap(({ op, inputs }) =>
    (op.mutates ?? [])
      .map((i) => ({ storage: inputs[i].storage, op: op.name }))
      .filter(({ storage }) => !(storage instanceof TracedStorage)),
  );
}

function flopsOf({ op, inputs, outputs, attrs }: Run): number {
  return op.flops?.(inputs, outputs, attrs) ?? outputs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
