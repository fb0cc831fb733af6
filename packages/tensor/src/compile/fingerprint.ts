import type { Variable } from "../autograd/node.ts";
import type { View } from "../device/device.ts";
import type { Storage } from "../device/storage.ts";
import type { Ports } from "./program.ts";
import { type Trace, TracedStorage } from "./trace.ts";
import { idOf, isTensor, textOf } from "./tree.ts";

/**
 * What a traced step does, as text: equal for two traces of which one program serves both. Traced values are numbered in the
 * order in which they appear, live attributes too; real storages and ops stand for themselves.
 * @param result - what the step function returned, with traced tensors in it
 * @param cleared - leaves whose gradient the step takes away
 */
export function fingerprint(
  trace: Trace,
  { args, left }: Ports,
  result: unknown,
  cleared: readonly Variable[],
): string {
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
  const live = (value: object): string | undefined => {
    const number = lives.get(value);
    return number === undefined ? undefined : `live${number}`;
  };
  for (const storage of args) numbers.set(storage, numbers.size);
  const lines = trace.runs.map(
    ({ op, attrs, inputs, outputs }) =>
      `${idOf(op)}(${inputs.map(place).join(";")})${textOf(attrs, live)}>${outputs.map(place).join(";")}`,
  );
  lines.push(textOf(result, (value) => (isTensor(value) ? place(value) : undefined)));
  lines.push(left.map(({ variable, view }) => `${idOf(variable)}=${place(view)}`).join(";"));
  lines.push(cleared.map(idOf).join(";"), String(trace.lives.length));
  return lines.join("\n");
}
