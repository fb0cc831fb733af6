import { ValueError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { Arena } from "./arena.ts";
import type { PlanReport } from "./program.ts";
import { signatureOf } from "./signature.ts";
import { type Step, traceStep, withScalars } from "./step.ts";
import { activeTrace } from "./trace.ts";

export interface CompileOptions {
  /** Whether ops are fused where a rule says how. Without it a step gives the same bits as uncompiled. Default true. */
  readonly fuse?: boolean;
  /** Programs that are kept, the latest used ones. They share their memory. Default 32. */
  readonly maxPrograms?: number;
}

/** What stands in the place of each argument of the traced function: a number where it takes a scalar tensor. */
export type Argument<T> = T extends Tensor
  ? Tensor | number
  : T extends number
    ? "a number becomes a scalar tensor: declare the parameter as Tensor"
    : T;
export type Arguments<A extends readonly unknown[]> = { [K in keyof A]: Argument<A[K]> };

/** A step that is traced once for each signature and then replayed. */
export interface Compiled<A extends readonly unknown[], R> {
  (...args: Arguments<A>): R;
  /** Traces and plans for these arguments, takes the memory and builds all pipelines at once, without running the step. */
  warmUp(...args: Arguments<A>): Promise<void>;
  /** What the step will take for these arguments, before anything runs and without taking memory for it. */
  plan(...args: Arguments<A>): PlanReport;
  /** Times that the function was traced so far. */
  readonly traces: number;
  /** Programs that are held. */
  readonly programs: number;
  /** Frees the memory of all programs. The next call traces again. */
  dispose(): void;
}

type Untyped = (...args: unknown[]) => unknown;

/**
 * Makes a step (a forward pass, or a whole training step with backward and optimiser) cheap to repeat. `fn` is run once for each
 * signature with tensors that have no values; the ops that it calls become a program whose memory is planned and whose dispatches
 * are frozen, and each call replays it: nothing but its results is allocated, and nothing compiled or waited for.
 *
 * The signature is the shapes, types and devices of the tensor arguments, whether they require a gradient, and all other arguments, by
 * content (functions and objects of classes by identity). Numbers that are arguments themselves become scalar tensors that may change from
 * call to call; those in objects and arrays are constants. Tensor arguments are copied in, so `fn` may not change them. Tensors that `fn`
 * takes from outside (parameters, moments) are used where they are and change in place. Host code of `fn` does not run at a replay: what
 * must change from step to step are arguments, `everyStep` values (an optimiser's learning rate and step number) and the keys of
 * generators. A layer that is replaced, frozen, merged or switched to evaluation is noticed, and the step is traced again.
 *
 * Results are new tensors without history, owned by the caller's scope; a tensor from outside is returned as another handle of the same
 * values. Gradients that `fn` leaves in `.grad` are left there at every call.
 *
 * @param fn - synchronous; takes tensors (alone or in arrays, sets, maps and plain objects) and constants
 * @throws CompileError where `fn` is asynchronous, reads values (`item()`), or changes an argument or what it makes from host values in place
 */
export function compile<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  { fuse = true, maxPrograms = 32 }: CompileOptions = {},
): Compiled<A, R> {
  // By signature, the latest used last; of one signature there may be several (training and evaluation, say).
  const steps = new Map<string, Step[]>();
  const arena = new Arena();
  let traces = 0;
  if (!(Number.isInteger(maxPrograms) && maxPrograms > 0))
    throw new ValueError("compile", `maxPrograms must be a whole number from 1, got ${maxPrograms}.`);

  const stepFor = (args: readonly unknown[]): Step => {
    const signature = signatureOf(args);
    const known = steps.get(signature) ?? [];
    steps.delete(signature);
    steps.set(signature, known);
    const ready = known.find((step) => step.isCurrent());
    if (ready !== undefined) return ready;
    traces++;
    const made = traceStep(fn as unknown as Untyped, args, { fuse, arena }); // args fit by the type of `compiled`
    const same = known.find((step) => step.takeOver(made));
    if (same !== undefined) return same;
    known.unshift(made);
    trim();
    return made;
  };

  const trim = (): void => {
    const [[oldest, list]] = steps;
    if ([...steps.values()].flat().length <= maxPrograms) return;
    list.pop()?.dispose();
    if (list.length === 0) steps.delete(oldest);
  };

  const compiled = (...args: unknown[]): unknown =>
    // Inside of another step it is a part of that.
    activeTrace() === undefined ? stepFor(args).run(args) : fn(...(withScalars(args) as unknown as A));
  return Object.defineProperties(compiled, {
    warmUp: { value: async (...args: unknown[]) => stepFor(args).warmUp() },
    plan: { value: (...args: unknown[]) => stepFor(args).program.report() },
    traces: { get: () => traces },
    programs: { get: () => [...steps.values()].flat().length },
    dispose: {
      value: () => {
        for (const step of [...steps.values()].flat()) step.dispose();
        steps.clear();
        arena.dispose();
      },
    },
  }) as Compiled<A, R>;
}
