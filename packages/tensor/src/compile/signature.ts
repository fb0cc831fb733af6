import { isGradEnabled } from "../autograd/gradMode.ts";
import { idOf } from "./fingerprint.ts";
import { isTensor, mapLeaves } from "./tree.ts";

/** What two calls of a step must share to be served by one program, as text. */
export function signatureOf(args: readonly unknown[]): string {
  const parts = args.map((arg) =>
    typeof arg === "number"
      ? "scalar"
      : mapLeaves(
          arg,
          ({ dtype, shape, requiresGrad, device }) =>
            `tensor ${dtype}[${shape.join()}]${requiresGrad ? "g" : ""}@${idOf(device)}`,
        ),
  );
  return JSON.stringify([isGradEnabled(), ...parts], (_, value) => {
    if (value instanceof Map) return [...value];
    if (typeof value === "function") return idOf(value);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    // Objects of a class are told apart by what they are, not by what is in them.
    return isPlain(value) && !isTensor(value) ? value : idOf(value);
  });
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
