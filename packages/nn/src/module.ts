import { bytesPer, structureChanged, type Tensor } from "@graft/tensor";
import { copyTensors } from "./copyTensors.ts";
import { FrozenParameter, Parameter } from "./parameter.ts";

/**
 * A tree of named parameters with a `forward`. Children and parameters are found by looking at the module's own
 * properties each time, so replacing a layer is an assignment. Names inside a model are the checkpoint's names.
 */
export abstract class Module {
  #training = true;

  /** Dropout is active. Set by `train` and `eval`. */
  get training(): boolean {
    return this.#training;
  }

  set training(mode: boolean) {
    if (mode !== this.#training) structureChanged();
    this.#training = mode;
  }

  abstract forward(...args: never[]): unknown;

  /** The modules directly below, with their property names; items of lists as `layers.0`. */
  *namedChildren(): Generator<[string, Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [name, value];
      else if (Array.isArray(value)) {
        for (const [i, item] of value.entries()) if (item instanceof Module) yield [`${name}.${i}`, item];
      }
    }
  }

  /** This module ("") and all below, parents first, with dotted paths. */
  *namedModules(prefix = ""): Generator<[string, Module]> {
    yield [prefix, this];
    for (const [name, child] of this.namedChildren())
      yield* child.namedModules(prefix === "" ? name : `${prefix}.${name}`);
  }

  /** Every parameter below with its path. One that is shared (tied weights) comes once, under its first name. */
  *namedParameters(): Generator<[string, Parameter]> {
    const seen = new Set<Parameter>();
    for (const [path, module] of this.namedModules()) {
      for (const [name, value] of Object.entries(module)) {
        if (!(value instanceof Parameter) || seen.has(value)) continue;
        seen.add(value);
        yield [path === "" ? name : `${path}.${name}`, value];
      }
    }
  }

  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  /** Parameters by path, as they are (not copies). */
  stateDict(): Map<string, Parameter> {
    return new Map(this.namedParameters());
  }

  /**
   * Copies values into the parameters of the same names. All problems are reported at once: missing, unexpected (both
   * only where `strict`), wrong shape. Nothing is changed unless everything fits. Values are converted to the dtype here.
   */
  async loadStateDict(
    state: ReadonlyMap<string, Tensor>,
    { strict = true }: { strict?: boolean } = {},
  ): Promise<void> {
    await copyTensors("loadStateDict", this.stateDict(), state, { strict, owner: "this model" });
  }

  /** Switches this module and all below to training (dropout active). */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode;
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  /** Stops training of every parameter below and forgets the gradients. Returns this. */
  freeze(): this {
    this.zeroGrad();
    for (const parameter of this.parameters()) parameter.requiresGrad = false;
    return this;
  }

  /** Trains every parameter below but what is never trained, such as codes of packed weights. Returns this. */
  unfreeze(): this {
    for (const parameter of this.parameters())
      if (!(parameter instanceof FrozenParameter)) parameter.requiresGrad = true;
    return this;
  }

  /** Forgets the gradients of every parameter below. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = undefined;
    }
  }

  /** The module at a dotted path; "" is this one. Throws RangeError where there is none. */
  get(path: string): Module {
    for (const [name, module] of this.namedModules()) if (name === path) return module;
    throw new RangeError(
      `Module.get: there is no module "${path}". Its children are: ${[...this.namedChildren()].map(([name]) => name).join(", ")}.`,
    );
  }

  /** Puts another module at a dotted path and returns the old one, which is not disposed. */
  replace(path: string, module: Module): Module {
    for (const [parentPath, parent] of this.namedModules()) {
      for (const [name, child] of parent.namedChildren()) {
        if ((parentPath === "" ? name : `${parentPath}.${name}`) !== path) continue;
        parent.setChild(name, module);
        return child;
      }
    }
    throw new RangeError(`Module.replace: there is no module "${path}".`);
  }

  /** For `replace`: puts a module where `namedChildren` names one. Modules that name their children otherwise override both. */
  setChild(name: string, module: Module): void {
    structureChanged();
    const [property, index] = name.split(".");
    if (index === undefined) Reflect.set(this, property, module);
    else Reflect.set(Object(Reflect.get(this, property)), index, module);
  }

  /** Number of weights, all and those that are trained. Packed ones count as the weights they stand for. */
  parameterCount(): { total: number; trainable: number } {
    let total = 0;
    let trainable = 0;
    for (const parameter of this.parameters()) {
      total += parameter.weights;
      if (parameter.requiresGrad) trainable += parameter.weights;
    }
    return { total, trainable };
  }

  /** Bytes of all parameters. */
  parameterBytes(): number {
    return this.parameters().reduce((sum, parameter) => sum + parameter.size * bytesPer(parameter.dtype), 0);
  }

  /**
   * Frees every parameter below and its gradient. The module cannot be used afterwards. Twice is harmless.
   * Modules that hold more override this and call `super.dispose()`.
   */
  dispose(): void {
    for (const [, child] of this.namedChildren()) child.dispose();
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = undefined;
      parameter.dispose();
    }
  }
}
