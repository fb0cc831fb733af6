import type { Tensor } from "../tensor.ts";

/** Whether a value is a tensor: by mark, so that this file stands below tensor.ts. */
export const isTensor = (value: unknown): value is Tensor =>
  typeof value === "object" && value !== null && "isGraftTensor" in value;

/** The same value with its tensors replaced, in arrays, maps and plain objects, at any depth. */
export function mapLeaves(value: unknown, onTensor: (tensor: Tensor) => unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isTensor(value)) return onTensor(value);
  const map = (item: unknown): unknown => mapLeaves(item, onTensor);
  if (Array.isArray(value)) return value.map(map);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, map(item)]));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, map(item)]));
}
