import { isGradEnabled } from "../autograd/gradMode.ts";
import { Node } from "../autograd/node.ts";
import { activeTrace, checkReal } from "../compile/trace.ts";
import type { Device, View } from "../device/device.ts";
import { type DType, isFloat, type TypedArray } from "../dtype.ts";
import { DeviceError, GradError } from "../errors.ts";
import { another, currentScope } from "../scope.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { GpuInfo, Kernel } from "./kernel.ts";
import type { Expr } from "./pointwise/expr.ts";

/** Shape and element type of a value that may not exist yet. */
export interface Meta {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** A tensor as a CPU kernel sees it: `data` starts at its first value. f16 and bf16 come widened to f32 (bits where `raw`). */
export interface CpuArray extends Meta {
  readonly data: TypedArray;
}

export interface CpuContext {
  /** False where results must be the reference's: plain loops, float64 inside. */
  readonly fast: boolean;
}

export interface GradientContext<A> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Gradients of the outputs; undefined where an output does not reach the loss. */
  readonly dys: readonly (Tensor | undefined)[];
  /** The gradient of the first output, for ops with one. */
  readonly dy: Tensor;
  readonly attrs: A;
  /** Which inputs want a gradient. */
  readonly needs: readonly boolean[];
}

/** Inputs or outputs of an op, by number. */
export type Together = { readonly inputs: readonly number[] } | { readonly outputs: readonly number[] };

/** All that there is to know of one op. Outside of this record no file names it. */
export interface Op<A> {
  readonly name: string;

  /** Shapes and types of the outputs. Checks everything, with the messages that users read. */
  infer(inputs: readonly Meta[], attrs: A): readonly Meta[];

  /** The plain, obviously right loop; sums in float64. Writes every value of every output. */
  cpu?(inputs: readonly CpuArray[], outputs: readonly CpuArray[], attrs: A, context: CpuContext): void;

  /** The kernels that compute the same on a GPU, in order. */
  wgsl?(inputs: readonly View[], outputs: readonly View[], attrs: A, gpu: GpuInfo): readonly Kernel[];

  /** Instead of kernels: the output is the first input, read from another offset (in elements, relative) or in another shape. */
  view?(inputs: readonly Meta[], attrs: A): number;

  /**
   * Gradients of the inputs, written with ops, so that they have gradients themselves. The shapes may be those of the
   * output where an input was broadcast: the tape sums them back. "none: <reason>" where there is no gradient.
   */
  readonly gradient: ((context: GradientContext<A>) => readonly (Tensor | undefined)[]) | `none: ${string}`;

  /** Which values `gradient` reads. Default: every input, no output. */
  saves?(
    inputs: readonly Meta[],
    attrs: A,
  ): { readonly inputs?: readonly number[]; readonly outputs?: readonly number[] };

  /** Inputs that the op changes in place. Such an op has no gradient. */
  readonly mutates?: readonly number[];

  /**
   * Values that the kernels can treat as one where they lie side by side in one buffer, in this order: a compiled step
   * places them so where it can. Without it nothing changes but the number of dispatches.
   */
  together?(inputs: readonly Meta[], attrs: A): readonly Together[];

  /**
   * Of a pointwise op, what it computes of each value; attrs are then its params. Runs of such ops can become one.
   */
  readonly formula?: Expr;

  /** True where kernels move 16-bit values without looking at them, so that f16 and bf16 come as bits. */
  readonly raw?: boolean;

  /** Floating-point operations of one run; default: one for each output value. */
  flops?(inputs: readonly Meta[], outputs: readonly Meta[], attrs: A): number;
}

/** Runs an op on tensors and records it where an input requires a gradient. The outputs belong to the innermost scope. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
  const first = inputs[0];
  for (const input of inputs) {
    input.checkAlive(op.name);
    if (input.device !== first.device) {
      throw new DeviceError(
        op.name,
        `all inputs must be on one device, got ${first.device.kind} and ${input.device.kind}. Move one with await tensor.to(device).`,
      );
    }
  }
  return applyOn(first.device, op, inputs, attrs, (meta, storage, offset) =>
    first.spawn(meta, storage, offset),
  );
}

type Spawn = (meta: Meta, storage: View["storage"], offset: number) => Tensor;

/** `apply` for ops that may have no inputs: the device and the way to make a tensor are given. */
export function applyOn<A>(
  device: Device,
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  spawn: Spawn,
): Tensor[] {
  const metas = op.infer(inputs, attrs);
  const wantsGrad =
    isGradEnabled() &&
    inputs.some((input) => input.requiresGrad) &&
    (op.mutates !== undefined || metas.some((meta) => isFloat(meta.dtype)));
  if (op.mutates !== undefined) {
    if (wantsGrad) {
      throw new GradError(
        op.name,
        op.mutates.some((i) => inputs[i].requiresGrad)
          ? "a tensor that requires a gradient cannot be changed in place while recording. Wrap the call in noGrad."
          : "a change in place is not recorded, and an input that requires a gradient would lose it. Use detach on it, or wrap the call in noGrad.",
      );
    }
  } else if (wantsGrad && typeof op.gradient === "string") {
    throw new GradError(
      op.name,
      `this op has no gradient (${op.gradient.slice("none: ".length)}). Use detach or noGrad around it.`,
    );
  }
  const trace = activeTrace();
  if (trace === undefined) for (const { storage } of inputs) checkReal(op.name, storage);
  let outputs: Tensor[];
  if (op.view !== undefined) {
    const [meta] = metas;
    outputs = [spawn(meta, inputs[0].storage.retain(), inputs[0].offset + op.view(inputs, attrs))];
  } else {
    outputs = metas.map((meta) => {
      device.checkDType(op.name, meta.dtype);
      const size = sizeOf(meta.shape);
      const storage =
        trace === undefined ? device.allocate(meta.dtype, size) : trace.allocate(device, meta.dtype, size);
      return spawn(meta, storage, 0);
    });
    try {
      if (trace === undefined) device.run(op, inputs, outputs, attrs);
      else trace.record(op, inputs, outputs, attrs);
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    }
    for (const i of op.mutates ?? []) {
      inputs[i].storage.version++;
      inputs[i].storage.writer = op.name;
    }
  }
  const owner = currentScope();
  if (owner !== undefined) for (const output of outputs) owner.addTensor(output);
  if (wantsGrad && op.mutates === undefined) record(op, inputs, outputs, attrs);
  return outputs;
}

/** What an op returns where it would change nothing: the same value, under a handle that may be disposed alone. */
export function unchanged(who: string, x: Tensor): Tensor {
  x.checkAlive(who);
  return another(x);
}

/** Writes an op that has run into the record of its outputs. */
export function record<A>(op: Op<A>, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: A): void {
  const saves = op.saves?.(inputs, attrs) ?? { inputs: inputs.map((_, i) => i) };
  const savedInputs = new Set(saves.inputs ?? []);
  const savedOutputs = new Set(saves.outputs ?? []);
  outputs.forEach((output, index) => {
    output.variable = { requiresGrad: isFloat(output.dtype), grad: undefined, node: undefined, index };
  });
  const inputAliases = inputs.map((input, i) => input.alias(savedInputs.has(i)));
  const outputAliases = outputs.map((output, i) => output.alias(savedOutputs.has(i)));
  const saved = [
    ...inputAliases.filter((_, i) => savedInputs.has(i)),
    ...outputAliases.filter((_, i) => savedOutputs.has(i)),
  ];
  const node = new Node(op as Op<unknown>, attrs, inputAliases, outputAliases, saved); // the node only hands attrs back to this op
  for (const output of outputs) if (output.requiresGrad) output.variable.node = node;
  currentScope()?.addNode(node);
}
