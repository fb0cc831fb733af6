import type { Tensor } from "../tensor.ts";

/** Whether a value is a tensor: by mark, so that this file stands below tensor.ts. */
export const isTensor = (value: unknown): value is Tensor =>
  typeof value === "object" && value !== null && "isGraftTensor" in value;

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
 * A value as text, equal for two that nobody can tell apart: by content for arrays, maps, sets, typed arrays and plain objects, and
 * by identity for functions and other objects. `onObject` may name some of them.
 */
export function textOf(value: unknown, onObject: (object: object) => string | undefined): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "function") return `f${idOf(value)}`;
  if (typeof value !== "object" || value === null) return `${typeof value} ${String(value)}`;
  const named = onObject(value);
  if (named !== undefined) return named;
  const text = (item: unknown): string => textOf(item, onObject);
  if (Array.isArray(value)) return `[${value.map(text).join()}]`;
  if (value instanceof Set) return `set[${[...value].map(text).join()}]`;
  if (value instanceof Map) return `map${text([...value])}`;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return `${value.constructor.name}[${String(value)}]`;
  if (!isPlain(value)) return `o${idOf(value)}`;
  return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}:${text(item)}`)}}`;
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The same value with its tensors replaced, in arrays, sets, maps and plain objects, at any depth. */
export function mapLeaves(value: unknown, onTensor: (tensor: Tensor) => unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isTensor(value)) return onTensor(value);
  const map = (item: unknown): unknown => mapLeaves(item, onTensor);
  if (Array.isArray(value)) return value.map(map);
  if (value instanceof Set) return new Set([...value].map(map));
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, map(item)]));
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, map(item)]));
}
