import type { View } from "../device/device.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { sameShape, show, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Binding, Kernel, Param } from "./kernel.ts";
import { runsOf, totalSize, vectorOf } from "./neighbours.ts";
import type { Meta, Op, Together } from "./op.ts";

// What the optimiser steps share: they change many tensors in place, in as few dispatches as their places allow.

/** One tensor, or as many as there are parameters. */
export type OneOrMore = Tensor | readonly Tensor[];

export function listOf(tensors: OneOrMore): readonly Tensor[] {
  return "isGraftTensor" in tensors ? [tensors] : tensors;
}

/** Throws unless all lists have one length. */
export function checkLengths(who: string, lists: Readonly<Record<string, readonly Tensor[]>>): void {
  const [[first, { length }], ...others] = Object.entries(lists);
  if (length === 0) throw new ShapeError(who, `there must be at least one ${first}, got none.`);
  for (const [name, list] of others)
    if (list.length !== length)
      throw new ShapeError(
        who,
        `there must be one ${name} for each ${first}, got ${list.length} for ${length}.`,
      );
}

/** The inputs of an update: groups of `count` tensors, and after them what all share. */
export interface Layout {
  /** Singular, as messages use them; the first is the parameter. */
  readonly names: readonly string[];
  /** Tensors of each group. */
  readonly count: number;
}

/** The groups, each a list of its tensors. */
export function groupsOf<T>(inputs: readonly T[], { names, count }: Layout): T[][] {
  return names.map((_, g) => inputs.slice(g * count, (g + 1) * count));
}

/** Throws unless every tensor is f32 (or f64) and has the shape and type of its parameter. */
export function checkAlike(who: string, inputs: readonly Meta[], layout: Layout): void {
  const groups = groupsOf(inputs, layout);
  groups[0].forEach((parameter, k) => {
    const nameOf = (g: number): string =>
      layout.count === 1 ? layout.names[g] : `${layout.names[g]} ${k} of ${layout.count}`;
    if (parameter.dtype !== "f32" && parameter.dtype !== "f64")
      throw new DTypeError(who, `${nameOf(0)} must be f32 to be changed in place, got ${parameter.dtype}.`);
    groups.forEach((group, g) => {
      const input = group[k];
      if (!sameShape(input.shape, parameter.shape))
        throw new ShapeError(
          who,
          `${nameOf(g)} must be ${show(parameter.shape)}, the shape of ${nameOf(0)}, got ${show(input.shape)}.`,
        );
      if (input.dtype !== parameter.dtype)
        throw new DTypeError(
          who,
          `${nameOf(g)} must be ${parameter.dtype} as ${nameOf(0)}, got ${input.dtype}. Use cast first.`,
        );
    });
  });
}

/** What all ops of this kind declare alike. */
export function updateOp(
  layout: Layout,
  changes: readonly number[],
): Pick<Op<unknown>, "mutates" | "together"> {
  const places = layout.names.map((_, g) =>
    Array.from({ length: layout.count }, (__, k) => g * layout.count + k),
  );
  const together: Together[] = layout.count === 1 ? [] : places.map((inputs) => ({ inputs }));
  return { mutates: changes.flatMap((g) => places[g]), together: () => together };
}

/**
 * A kernel for each run of neighbours, four values at once where places and sizes let it. `body` reads `name_here` and
 * writes with `name_set(value)`, for each of the bindings, whatever their width.
 */
export function updateKernels(
  key: string,
  groups: readonly {
    readonly name: string;
    readonly views: readonly View[];
    readonly access: "read" | "update";
  }[],
  shared: readonly Binding[],
  params: readonly Param[],
  body: string,
): Kernel[] {
  return runsOf(groups.map(({ views }) => views)).map((run) => {
    const vectors = groups.map(({ views }) => vectorOf(views, run));
    const size = sizeOf(vectors[0].shape);
    const wide = [size, ...vectors.map(({ offset }) => offset)].every((value) => value % 4 === 0);
    return {
      key: wide ? `${key}4` : key,
      over: "element",
      count: wide ? size / 4 : size,
      bindings: [
        ...groups.map(({ name, access }, g) => ({
          name,
          view: vectors[g],
          access,
          as: wide ? ("vec4" as const) : undefined,
        })),
        ...shared,
      ],
      params,
      main: () =>
        body
          .replace(/\b(\w+)_here\b/g, wide ? "$1_at4(i)" : "$1_at(i)")
          .replace(/\b(\w+)_set\(/g, wide ? "$1_put4(i, " : "$1_put(i, "),
    };
  });
}

/** Values of all parameters. */
export function updatedSize(inputs: readonly Meta[], { count }: Layout): number {
  return totalSize(inputs.slice(0, count));
}

/** Throws unless a shared factor is one number of the parameters' type. */
export function checkFactor(who: string, name: string, factor: Meta, parameter: Meta): void {
  if (sizeOf(factor.shape) !== 1)
    throw new ShapeError(who, `${name} must be one number, got ${show(factor.shape)}.`);
  if (factor.dtype !== parameter.dtype)
    throw new DTypeError(
      who,
      `${name} must be ${parameter.dtype} as parameter, got ${factor.dtype}. Use cast first.`,
    );
}
