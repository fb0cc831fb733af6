import { GradError } from "../errors.ts";
import type { Op } from "../ops/op.ts";
import type { Tensor } from "../tensor.ts";

/** What a tensor is to differentiation. Views of one value (saved copies, kept handles) share one Variable. */
export interface Variable {
  requiresGrad: boolean;
  grad: Tensor | undefined;
  /** The op that made the value, where it was recorded. */
  node: Node | undefined;
  /** Which output of `node` it is. */
  readonly index: number;
}

interface Saved {
  readonly tensor: Tensor;
  readonly version: number;
}

let nextId = 0;

/** The id that the next record gets: records from here on are newer than all that exist. */
export function nextNodeId(): number {
  return nextId;
}

/** One recorded op: its inputs and outputs, and the values that its gradient needs. */
export class Node {
  /** Rises with every record, so that a descending walk is a topological order. */
  readonly id = nextId++;
  readonly op: Op<unknown>;
  readonly attrs: unknown;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  #saved: Saved[] = [];
  #released = false;

  /** `inputs` and `outputs` are aliases made for this node; those in `saved` hold their storage until released. */
  constructor(
    op: Op<unknown>,
    attrs: unknown,
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    saved: readonly Tensor[],
  ) {
    this.op = op;
    this.attrs = attrs;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#saved = saved.map((tensor) => ({ tensor, version: tensor.storage.version }));
  }

  get released(): boolean {
    return this.#released;
  }

  /** Throws where a saved value was changed in place or freed since it was recorded. */
  check(): void {
    if (this.#released) {
      throw new GradError(
        "backward",
        `the record of ${this.op.name} was freed by an earlier backward. Pass { retainGraph: true } to the first one.`,
      );
    }
    for (const { tensor, version } of this.#saved) {
      if (tensor.storage.version !== version) {
        throw new GradError(
          "backward",
          `${this.op.name} saved a tensor that ${tensor.storage.writer} changed in place afterwards. Use the op that makes a new tensor, or change it after backward.`,
        );
      }
    }
  }

  /** Gives back the saved storages. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const { tensor } of this.#saved) tensor.dispose();
    this.#saved = [];
  }
}

/** The recorded nodes that can be reached from `variables`, unordered; what lies behind `stop` is left out. */
export function reachable(variables: Iterable<Variable>, stop?: ReadonlySet<Variable>): Set<Node> {
  const seen = new Set<Node>();
  const stack: Node[] = [];
  const visit = (node: Node | undefined): void => {
    if (node === undefined || seen.has(node)) return;
    seen.add(node);
    stack.push(node);
  };
  for (const variable of variables) visit(variable.node);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    for (const { variable } of node.inputs) if (!stop?.has(variable)) visit(variable.node);
  }
  return seen;
}
