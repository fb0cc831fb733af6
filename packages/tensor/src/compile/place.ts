import type { Device, View } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import { bytesPer } from "../dtype.ts";
import { sizeOf } from "../shape.ts";
import { copyRun } from "./copyRun.ts";
import { type Run, TracedStorage } from "./trace.ts";

/**
 * Values of a part of a joined storage are aligned to so many: 256 bytes of f32, so that a kernel that writes several of them can
 * bind each by itself.
 */
const ALIGNED = 64;
/** Bytes of the largest storage that is made of several. */
const MOST_JOINED = 2 ** 27;

/** A place in another storage. */
interface Place {
  readonly storage: Storage;
  /** In values. */
  readonly offset: number;
}

/**
 * Puts side by side what the ops of a step ask to have together (`Op.together`): values of the step by giving them one traced
 * storage, captured ones by moving them on the device. Where wishes compete, the largest group wins.
 * @param fixed - storages whose place is taken: arguments, results and gradients that stay
 */
export function place(device: Device, runs: readonly Run[], fixed: ReadonlySet<Storage>): readonly Run[] {
  const groups = runs
    .flatMap(({ op, inputs, outputs, attrs }) =>
      (op.together?.(inputs, attrs) ?? []).map((group) =>
        "inputs" in group ? group.inputs.map((i) => inputs[i]) : group.outputs.map((i) => outputs[i]),
      ),
    )
    .filter((views) => views.length > 1 && isJoinable(views, fixed))
    .sort((a, b) => b.length - a.length);
  const places = new Map<Storage, Place>();
  const joined = new Set<Storage>();
  for (const views of groups) {
    for (const part of inParts(views)) {
      if (part.length < 2 || part.some(({ storage }) => joined.has(storage))) continue;
      if (part[0].storage instanceof TracedStorage) joinTraced(device, part, places);
      else if (device.join(part.map(({ storage }) => storage)) === undefined) continue;
      for (const { storage } of part) joined.add(storage);
    }
  }
  const moved = (view: View): View => {
    const { storage, offset, dtype } = view;
    // Also where this step asked for nothing: what another step has joined lies in one buffer for this one too.
    if (storage.home !== undefined)
      return { ...view, storage: storage.home, offset: storage.start / bytesPer(dtype) + offset };
    const at = places.get(storage);
    return at === undefined ? view : { ...view, storage: at.storage, offset: at.offset + offset };
  };
  return runs.flatMap((run) =>
    apart(device, { ...run, inputs: run.inputs.map(moved), outputs: run.outputs.map(moved) }),
  );
}

/** Whole storages, each once, of one type, all traced or all real. */
function isJoinable(views: readonly View[], fixed: ReadonlySet<Storage>): boolean {
  const [first] = views;
  return (
    new Set(views.map(({ storage }) => storage)).size === views.length &&
    views.every(
      ({ dtype, storage, offset, shape }) =>
        dtype === first.dtype &&
        storage instanceof TracedStorage === first.storage instanceof TracedStorage &&
        offset === 0 &&
        storage.bytes === Math.ceil((sizeOf(shape) * bytesPer(dtype)) / 4) * 4 &&
        !fixed.has(storage),
    )
  );
}

/** Cuts a group so that no part is larger than a kernel may bind. */
function inParts(views: readonly View[]): View[][] {
  const parts: View[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const view of views) {
    if (bytes + view.storage.bytes > MOST_JOINED) {
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1].push(view);
    bytes += view.storage.bytes;
  }
  return parts;
}

function joinTraced(device: Device, views: readonly View[], places: Map<Storage, Place>): void {
  const [{ dtype }] = views;
  const offsets: number[] = [];
  let size = 0;
  for (const { shape } of views) {
    offsets.push(size);
    size += Math.ceil(sizeOf(shape) / ALIGNED) * ALIGNED;
  }
  const storage = new TracedStorage(device, dtype, size);
  views.forEach((view, i) => {
    places.set(view.storage, { storage, offset: offsets[i] });
  });
}

/** The run, after copies of what it reads from a storage that it also writes: no kernel may bind one buffer for both. */
function apart(device: Device, run: Run): Run[] {
  const changed = run.op.mutates ?? [];
  const written = new Set(
    [...run.outputs, ...changed.map((i) => run.inputs[i])].map(({ storage }) => storage),
  );
  const copies: Run[] = [];
  const inputs = run.inputs.map((view, i) => {
    if (changed.includes(i) || !written.has(view.storage)) return view;
    const { shape, dtype } = view;
    const copy = { shape, dtype, storage: new TracedStorage(device, dtype, sizeOf(shape)), offset: 0 };
    copies.push(copyRun(copy, view));
    return copy;
  });
  return [...copies, copies.length === 0 ? run : { ...run, inputs }];
}
