import { activeTrace } from "../compile/trace.ts";
import { GradError, ShapeError } from "../errors.ts";
import { add } from "../ops/add.ts";
import { onesLike } from "../ops/fill.ts";
import { sumTo } from "../ops/sum.ts";
import { another, keep, scope } from "../scope.ts";
import { sameShape, show } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { enableGrad, isGradEnabled, noGrad } from "./gradMode.ts";
import { type Node, reachable, type Variable } from "./node.ts";

export interface BackwardOptions {
  /** d loss / d this tensor, for a tensor that is no scalar. */
  gradient?: Tensor;
  /** Keep the record, so that backward can run again. Default: the value of `createGraph`. */
  retainGraph?: boolean;
  /** Record the backward pass itself, so that gradients have gradients. */
  createGraph?: boolean;
}

/** `Tensor.backward`: adds d loss / d leaf to `.grad` of every leaf that requires it. */
export function backward(loss: Tensor, options: BackwardOptions = {}): void {
  const mode = options.createGraph === true ? enableGrad : noGrad;
  mode(() => {
    scope(() => {
      for (const [variable, gradient] of walk([seedOf("backward", loss, options)], options, undefined)) {
        activeTrace()?.noteGrad(variable);
        const before = variable.grad;
        variable.grad = keep(before === undefined ? gradient : add(before, gradient));
        before?.dispose();
      }
    });
  });
}

/**
 * d loss / d input for each of `inputs`, without touching any `.grad`. An input that the loss does not depend on is an
 * error, or undefined in the result with `allowUnused`.
 */
export function grad(loss: Tensor, inputs: readonly Tensor[], options?: BackwardOptions): Tensor[];
export function grad(
  loss: Tensor,
  inputs: readonly Tensor[],
  options: BackwardOptions & { allowUnused: true },
): (Tensor | undefined)[];
export function grad(
  loss: Tensor,
  inputs: readonly Tensor[],
  options: BackwardOptions & { allowUnused?: boolean } = {},
): (Tensor | undefined)[] {
  inputs.forEach((input, i) => {
    if (!input.requiresGrad)
      throw new GradError(
        "grad",
        `inputs[${i}] ${show(input.shape)} does not require a gradient. Set requiresGrad = true before it is used.`,
      );
  });
  const mode = options.createGraph === true ? enableGrad : noGrad;
  return mode(() =>
    scope(() => {
      const results = walk(
        [seedOf("grad", loss, options)],
        options,
        new Set(inputs.map((input) => input.variable)),
      );
      return inputs.map((input, i) => {
        const found = results.get(input.variable);
        if (found === undefined && options.allowUnused !== true) {
          throw new GradError(
            "grad",
            `the loss does not depend on inputs[${i}] ${show(input.shape)}. Pass { allowUnused: true } to get undefined for it.`,
          );
        }
        return found;
      });
    }),
  );
}

/** A tensor to start from, with d loss / d tensor. */
export interface Seed {
  readonly tensor: Tensor;
  readonly gradient: Tensor;
}

/**
 * Gradients of several seeds together by `inputs`; undefined for inputs that none depends on. For ops that recompute: the
 * inputs count as leaves, and what was recorded before them is left alone.
 */
export function gradients(seeds: readonly Seed[], inputs: readonly Tensor[]): (Tensor | undefined)[] {
  return noGrad(() => {
    const leaves = new Set(inputs.map((input) => input.variable));
    const results = walk(seeds, {}, leaves, leaves);
    return inputs.map((input) => results.get(input.variable));
  });
}

function seedOf(who: string, loss: Tensor, options: BackwardOptions): Seed {
  loss.checkAlive(who);
  if (!loss.requiresGrad) {
    throw new GradError(
      who,
      "nothing was recorded for this tensor. It was made under noGrad, or no input had requiresGrad.",
    );
  }
  if (options.gradient === undefined && loss.size !== 1) {
    throw new GradError(
      who,
      `the loss must be a scalar, got ${show(loss.shape)}. Reduce it first, for example mean(loss).`,
    );
  }
  if (options.gradient !== undefined && !sameShape(options.gradient.shape, loss.shape)) {
    throw new ShapeError(
      who,
      `gradient must be ${show(loss.shape)}, the shape of the tensor, got ${show(options.gradient.shape)}.`,
    );
  }
  return { tensor: loss, gradient: options.gradient ?? onesLike(loss) };
}

/** Walks the record backwards. Returns the gradients of `wanted`, or of all leaves where it is undefined. */
function walk(
  seeds: readonly Seed[],
  options: BackwardOptions,
  wanted: ReadonlySet<Variable> | undefined,
  stop?: ReadonlySet<Variable>,
): Map<Variable, Tensor> {
  const retain = options.retainGraph ?? options.createGraph ?? false;
  const found = new Map<Variable, Tensor>();
  for (const { tensor, gradient } of seeds) {
    const before = found.get(tensor.variable);
    found.set(tensor.variable, before === undefined ? another(gradient) : add(before, gradient));
  }
  const kept = new Map<Variable, Tensor>();
  const starts = seeds.map(({ tensor }) => tensor.variable).filter((variable) => !stop?.has(variable));
  const nodes = [...reachable(starts, stop)].sort((a, b) => b.id - a.id);
  const useful = wanted === undefined ? undefined : leadingTo(nodes, wanted);
  for (const node of nodes) {
    const dys = node.outputs.map((output) => found.get(output.variable));
    for (const output of node.outputs) {
      const gradient = found.get(output.variable);
      if (gradient !== undefined && wanted?.has(output.variable)) kept.set(output.variable, gradient);
    }
    if (dys.some((dy) => dy !== undefined) && (useful === undefined || useful.has(node)))
      step(node, dys, found, useful, wanted);
    if (options.createGraph !== true) {
      for (const output of node.outputs) {
        const gradient = found.get(output.variable);
        found.delete(output.variable);
        if (!wanted?.has(output.variable)) gradient?.dispose();
      }
    }
    if (!retain) node.release();
  }
  for (const [variable, gradient] of found) {
    const isLeaf = variable.node === undefined || stop?.has(variable) === true;
    if (isLeaf && (wanted === undefined || wanted.has(variable))) kept.set(variable, gradient);
  }
  return kept;
}

/** Nodes through which a wanted variable is reached; the others need not be run. */
function leadingTo(nodes: readonly Node[], wanted: ReadonlySet<Variable>): Set<Node> {
  const useful = new Set<Node>();
  for (const node of [...nodes].reverse()) {
    const leads = node.inputs.some(
      ({ variable }) => wanted.has(variable) || (variable.node !== undefined && useful.has(variable.node)),
    );
    if (leads) useful.add(node);
  }
  return useful;
}

/** Runs the gradient of one node and adds the results to what its inputs have. */
function step(
  node: Node,
  dys: readonly (Tensor | undefined)[],
  found: Map<Variable, Tensor>,
  useful: ReadonlySet<Node> | undefined,
  wanted: ReadonlySet<Variable> | undefined,
): void {
  node.check();
  const rule = node.op.gradient;
  if (typeof rule === "string")
    throw new GradError(node.op.name, `this op has no gradient (${rule.slice("none: ".length)}).`);
  const needs = node.inputs.map(
    ({ variable }) =>
      variable.requiresGrad &&
      (useful === undefined ||
        wanted?.has(variable) === true ||
        (variable.node !== undefined && useful.has(variable.node))),
  );
  const dxs = scope(() => {
    const dy = dys[0] ?? onesLike(node.outputs[0], 0);
    const results = rule({ inputs: node.inputs, outputs: node.outputs, dys, dy, attrs: node.attrs, needs });
    // What the rule did not make is freed by its owner: the gradient gets a handle of its own.
    const foreign = new Set([...dys, ...node.inputs, ...node.outputs]);
    return node.inputs.map((input, i) => {
      const dx = results[i];
      if (!needs[i] || dx === undefined) return undefined;
      const summed = sumTo(dx, input.shape);
      const isShared = foreign.has(summed) || results.indexOf(dx) !== i;
      return isShared ? another(summed) : summed;
    });
  });
  node.inputs.forEach((input, i) => {
    const dx = dxs[i];
    if (dx === undefined) return;
    const before = found.get(input.variable);
    found.set(input.variable, before === undefined ? dx : add(before, dx));
    if (before === undefined || isGradEnabled()) return;
    before.dispose();
    dx.dispose();
  });
}
