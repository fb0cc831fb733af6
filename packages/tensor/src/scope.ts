import { type Node, reachable } from "./autograd/node.ts";
import type { Tensor } from "./tensor.ts";

/** Owns the tensors and records that are made while it is the innermost one, and frees them when it ends. */
export class Scope implements Disposable {
  readonly #tensors = new Set<Tensor>();
  readonly #nodes = new Set<Node>();

  addTensor(tensor: Tensor): void {
    this.#tensors.add(tensor);
  }

  addNode(node: Node): void {
    this.#nodes.add(node);
  }

  /** Hands `tensors`, and the records they need for backward, to `owner` (nobody where undefined). */
  release(tensors: Iterable<Tensor>, owner: Scope | undefined): void {
    const leaving: Tensor[] = [];
    for (const tensor of tensors) {
      leaving.push(tensor);
      if (this.#tensors.delete(tensor)) owner?.addTensor(tensor);
    }
    if (this.#nodes.size === 0) return;
    for (const node of reachable(leaving.map((tensor) => tensor.variable))) {
      if (this.#nodes.delete(node)) owner?.addNode(node);
    }
  }

  /** Ends the scope: frees all that it still owns. Ending it twice is harmless. */
  [Symbol.dispose](): void {
    const at = stack.lastIndexOf(this);
    if (at >= 0) stack.splice(at, 1);
    for (const node of this.#nodes) node.release();
    for (const tensor of this.#tensors) tensor.dispose();
    this.#nodes.clear();
    this.#tensors.clear();
  }
}

const stack: Scope[] = [];

export function currentScope(): Scope | undefined {
  return stack.at(-1);
}

/**
 * Opens a scope that lives until it is disposed, for code with `await` in it:
 * `using s = openScope();`. Tensors made meanwhile are freed at its end, unless they are `keep`-ed.
 */
export function openScope(): Scope {
  const opened = new Scope();
  stack.push(opened);
  return opened;
}

/**
 * Runs `fn` and frees every tensor that it made, but for those it returns (alone, or in arrays, maps and plain objects)
 * or `keep`s. What is returned belongs to the enclosing scope, or to the caller where there is none.
 */
export function scope<T>(fn: () => T): T {
  const own = openScope();
  try {
    const result = fn();
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new TypeError(
        "scope: fn must be synchronous, got an async function. Use `using s = openScope()` around awaits.",
      );
    }
    const at = stack.lastIndexOf(own);
    own.release(tensorsIn(result), at > 0 ? stack[at - 1] : undefined);
    return result;
  } finally {
    own[Symbol.dispose]();
  }
}

/** Takes a tensor out of every scope: it lives until it is disposed. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  for (const owner of stack) owner.release([tensor], undefined);
  return tensor;
}

/** A second handle of the same value, owned by the innermost scope, so that each place may dispose its own. */
export function another(tensor: Tensor): Tensor {
  const handle = tensor.alias(true);
  currentScope()?.addTensor(handle);
  return handle;
}

/** The tensors in a value: itself, or those in arrays, sets, maps and plain objects, at any depth. */
export function tensorsIn(
  value: unknown,
  found: Set<Tensor> = new Set(),
  seen: Set<object> = new Set(),
): Set<Tensor> {
  if (typeof value !== "object" || value === null || seen.has(value)) return found;
  seen.add(value);
  if (isTensor(value)) found.add(value);
  else if (Array.isArray(value) || value instanceof Set)
    for (const item of value) tensorsIn(item, found, seen);
  else if (value instanceof Map) for (const item of value.values()) tensorsIn(item, found, seen);
  else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
    for (const item of Object.values(value)) tensorsIn(item, found, seen);
  }
  return found;
}

/** By mark, not by class: this file stands below tensor.ts. */
function isTensor(value: object): value is Tensor {
  return "isGraftTensor" in value;
}
