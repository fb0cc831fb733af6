import { isGradEnabled } from "../autograd/gradMode.ts";
import { idOf, isTensor, textOf } from "./tree.ts";

/** What two calls of a step must share to be served by one program, as text. */
export function signatureOf(args: readonly unknown[]): string {
  const parts = args.map((arg) => (typeof arg === "number" ? "scalar" : textOf(arg, tensorText)));
  return [isGradEnabled(), ...parts].join("; ");
}

function tensorText(value: object): string | undefined {
  if (!isTensor(value)) return undefined;
  const { dtype, shape, requiresGrad, device } = value;
  return `tensor ${dtype}[${shape.join()}]${requiresGrad ? "g" : ""}@${idOf(device)}`;
}
