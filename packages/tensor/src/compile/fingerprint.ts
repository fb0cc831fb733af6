import type { View } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import type { Ports } from "./program.ts";
import { type Trace, TracedStorage } from "./trace.ts";

const ids = new WeakMap<object, number>();
let nextId = 0;

/** A number that an object keeps. */
export function idOf(object: object): number {
  let id = ids.get(object);
  if (id === undefined) {
    id = nextId++;
    ids.set(object, id);
  }
  return id;
}

/**
 * What a traced step does, as text: equal for two traces of which one program serves both. Traced values are numbered in the
 * order in which they appear, live attributes too; real storages and ops stand for themselves.
 */
export function fingerprint(trace: Trace, { args, results, left }: Ports): string {
  const numbers = new Map<Storage, number>();
  const lives = new Map<object, number>(trace.lives.map(({ values }, i) => [values, i]));
  const place = ({ storage, offset, shape, dtype }: View): string => {
    let name = `r${idOf(storage)}`;
    if (storage instanceof TracedStorage) {
      if (!numbers.has(storage)) numbers.set(storage, numbers.size);
      name = `t${numbers.get(storage)}`;
    }
    return `${name}+${offset}${dtype}[${shape.join()}]`;
  };
  const attribute = (_key: string, value: unknown): unknown => {
    if (typeof value === "function") return `f${idOf(value)}`;
    if (typeof value !== "object" || value === null) return typeof value === "number" ? String(value) : value;
    const live = lives.get(value);
    return live === undefined ? value : `live${live}`;
  };
  for (const storage of args) numbers.set(storage, numbers.size);
  const lines = trace.runs.map(
    ({ op, attrs, inputs, outputs }) =>
      `${idOf(op)}(${inputs.map(place).join(";")})${JSON.stringify(attrs, attribute)}>${outputs.map(place).join(";")}`,
  );
  lines.push(results.map(place).join(";"));
  lines.push(left.map(({ variable, view }) => `${idOf(variable)}=${place(view)}`).join(";"));
  return lines.join("\n");
}
