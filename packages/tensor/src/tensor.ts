import type { Variable } from "./autograd/node.ts";
import { backward } from "./autograd/tape.ts";
import { structureChanged } from "./compile/structure.ts";
import { activeTrace, checkReadable, checkReal } from "./compile/trace.ts";
import type { Device, View } from "./device/device.ts";
import type { Storage } from "./device/storage.ts";
import { bytesPer, type DType, isFloat, type TypedArray } from "./dtype.ts";
import { DeviceError, GradError, ShapeError } from "./errors.ts";
import { bf16ToF32, f16ToF32 } from "./formats/half.ts";
import { add } from "./ops/add.ts";
import { div } from "./ops/div.ts";
import { matmul } from "./ops/matmul/matmul.ts";
import { mean } from "./ops/mean.ts";
import { mul } from "./ops/mul.ts";
import { neg } from "./ops/neg.ts";
import type { Meta } from "./ops/op.ts";
import { permute, transpose } from "./ops/permute.ts";
import { reshape } from "./ops/reshape.ts";
import { sub } from "./ops/sub.ts";
import { sum } from "./ops/sum.ts";
import { currentScope } from "./scope.ts";
import { type Shape, show, sizeOf } from "./shape.ts";

/**
 * An n-dimensional array on a device: a shape, an element type and a storage that views may share.
 * Values are row-major. Ops on tensors are free functions (`add(a, b)`); the few methods call them.
 */
export class Tensor implements View, Disposable {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly storage: Storage;
  /** First value, in elements from the start of the storage. */
  readonly offset: number;
  /** The value's place in the record of ops. Shared by aliases of one value. */
  variable: Variable;
  /** Marks tensors for code below this file. */
  readonly isGraftTensor = true;
  #alive = true;
  #why = "was disposed";

  /** Use `fromArray`, `zeros` and the like; this takes over one use of `storage`. */
  constructor(meta: Meta, storage: Storage, offset: number) {
    this.shape = meta.shape;
    this.dtype = meta.dtype;
    this.storage = storage;
    this.offset = offset;
    this.variable = { requiresGrad: false, grad: undefined, node: undefined, index: 0 };
  }

  get device(): Device {
    return this.storage.device;
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of values. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Bytes that the values take (a view counts its own values only). */
  get bytes(): number {
    return this.size * bytesPer(this.dtype);
  }

  /** True for a tensor that no recorded op made. Only leaves keep their gradient in `grad`. */
  get isLeaf(): boolean {
    return this.variable.node === undefined;
  }

  get disposed(): boolean {
    return !this.#alive;
  }

  /** Whether ops on this tensor are recorded for backward. May be set on leaves of a float type. */
  get requiresGrad(): boolean {
    return this.variable.requiresGrad;
  }

  set requiresGrad(value: boolean) {
    if (!this.isLeaf)
      throw new GradError(
        "requiresGrad",
        "only a leaf can be changed, this tensor was made by a recorded op. Use detach().",
      );
    const isChange = this.variable.requiresGrad !== value;
    this.asNewLeaf(value);
    if (isChange) structureChanged();
  }

  /** d loss / d this, filled by `backward` on leaves; same shape. */
  get grad(): Tensor | undefined {
    activeTrace()?.noteGrad(this.variable);
    return this.variable.grad;
  }

  set grad(value: Tensor | undefined) {
    activeTrace()?.noteGrad(this.variable);
    this.variable.grad = value;
  }

  /**
   * Fills `.grad` of every leaf that this scalar depends on, adding to what is there.
   * Frees the record unless `retainGraph`; `createGraph` records the backward pass itself, for second derivatives.
   */
  backward(options: { gradient?: Tensor; retainGraph?: boolean; createGraph?: boolean } = {}): void {
    backward(this, options);
  }

  /** The same values without their history; shares the storage. */
  detach(): Tensor {
    this.checkAlive("detach");
    const tensor = new Tensor(this, this.storage.retain(), this.offset);
    currentScope()?.addTensor(tensor);
    return tensor;
  }

  /** The one value of a tensor of size 1. */
  item(): Promise<number> {
    checkReadable("item");
    return this.#item();
  }

  /** All values, row-major, in a new host array; f16 and bf16 widened to f32, bool as 0 and 1. */
  toArray(): Promise<Float32Array | Float64Array | Int32Array | Uint32Array> {
    checkReadable("toArray");
    return this.#array();
  }

  /** As `toArray`, but f16 and bf16 as they are stored. */
  toBits(): Promise<TypedArray> {
    checkReadable("toBits");
    return this.#bits();
  }

  async #item(): Promise<number> {
    if (this.size !== 1)
      throw new ShapeError("item", `the tensor must have one value, got ${show(this.shape)}. Use toArray.`);
    return (await this.#array())[0];
  }

  async #array(): Promise<Float32Array | Float64Array | Int32Array | Uint32Array> {
    const values = await this.#bits();
    if (!(values instanceof Uint16Array)) return values;
    return this.dtype === "f16" ? f16ToF32(values) : bf16ToF32(values);
  }

  async #bits(): Promise<TypedArray> {
    this.checkAlive("toArray");
    checkReal("toArray", this.storage);
    return this.device.read(this);
  }

  /** A copy on another device (or this one), without history. */
  async to(device: Device): Promise<Tensor> {
    device.checkDType("to", this.dtype);
    const values = await this.toBits();
    const storage = device.allocate(this.dtype, this.size);
    device.upload(storage, values);
    const copy = new Tensor(this, storage, 0);
    currentScope()?.addTensor(copy);
    return copy;
  }

  /** Gives the storage back. Twice is harmless; using the tensor afterwards is an error. */
  dispose(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `Tensor(${show(this.shape)}, ${this.dtype}, ${this.device.kind}${this.requiresGrad ? ", requiresGrad" : ""})`;
  }

  add(other: Tensor | number): Tensor {
    return add(this, other);
  }

  sub(other: Tensor | number): Tensor {
    return sub(this, other);
  }

  mul(other: Tensor | number): Tensor {
    return mul(this, other);
  }

  div(other: Tensor | number): Tensor {
    return div(this, other);
  }

  neg(): Tensor {
    return neg(this);
  }

  matmul(other: Tensor): Tensor {
    return matmul(this, other);
  }

  reshape(shape: Shape): Tensor {
    return reshape(this, shape);
  }

  permute(axes: readonly number[]): Tensor {
    return permute(this, axes);
  }

  transpose(axis0 = -2, axis1 = -1): Tensor {
    return transpose(this, axis0, axis1);
  }

  sum(axes?: number | readonly number[], options?: { keepDim?: boolean }): Tensor {
    return sum(this, axes, options);
  }

  mean(axes?: number | readonly number[], options?: { keepDim?: boolean }): Tensor {
    return mean(this, axes, options);
  }

  /** For ops: throws where the tensor cannot be read any more. */
  checkAlive(who: string): void {
    if (!this.#alive)
      throw new DeviceError(
        who,
        `a tensor ${show(this.shape)} ${this.#why} and cannot be used. Return it from its scope, or keep() it.`,
      );
  }

  /** Sets `requiresGrad` of a leaf that nobody has used yet, so that no compiled step has to look again. */
  asNewLeaf(requiresGrad: boolean): this {
    if (requiresGrad && !isFloat(this.dtype))
      throw new GradError("requiresGrad", `the dtype must be a float type, got ${this.dtype}.`);
    this.variable.requiresGrad = requiresGrad;
    return this;
  }

  /** For ops: a tensor of the same class over another storage. */
  spawn(meta: Meta, storage: Storage, offset: number): Tensor {
    return new Tensor(meta, storage, offset);
  }

  /** For the tape: the same value under another handle. One that does not hold the storage cannot be read. */
  alias(holds: boolean): Tensor {
    const tensor = new Tensor(this, this.storage, this.offset);
    tensor.variable = this.variable;
    if (holds) this.storage.retain();
    else {
      tensor.#alive = false;
      tensor.#why = "was not saved by its op";
    }
    return tensor;
  }
}
