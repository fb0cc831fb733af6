import {
  copyInto,
  type Device,
  type DType,
  fromBits,
  isFloat,
  noGrad,
  ShapeError,
  scope,
  show,
  sizeOf,
  Tensor,
  type TypedArray,
} from "@graft/tensor";

/** A tensor that a module owns and an optimiser may change. It lives until the module is disposed. */
export class Parameter extends Tensor {
  /** Takes over the tensor: its handle is disposed, its values stay where they are. */
  constructor(tensor: Tensor, requiresGrad = isFloat(tensor.dtype)) {
    super(tensor, tensor.storage.retain(), tensor.offset);
    tensor.dispose();
    this.requiresGrad = requiresGrad;
  }

  /** A parameter whose values are unspecified, for a checkpoint to fill. */
  static empty(device: Device, shape: readonly number[], dtype: DType = "f32"): Parameter {
    device.checkDType("Parameter", dtype);
    if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
      throw new ShapeError("Parameter", `sizes must be whole numbers, got ${show(shape)}.`);
    return new Parameter(new Tensor({ shape: [...shape], dtype }, device.allocate(dtype, sizeOf(shape)), 0));
  }

  /** How many weights it stands for: its values. */
  get weights(): number {
    return this.size;
  }

  /** Replaces the values by host values in the storage form of the dtype (f16 and bf16 as bits). */
  upload(values: TypedArray): void {
    if (values.length !== this.size)
      throw new ShapeError(
        "Parameter.upload",
        `${show(this.shape)} must be filled by ${this.size} values, got ${values.length}.`,
      );
    const { device, storage, dtype, shape } = this;
    if (this.offset !== 0 || this.bytes !== storage.bytes) {
      // A part of a larger storage, or one with padding.
      noGrad(() => scope(() => copyInto(this, fromBits(device, values, shape, { dtype }))));
      return;
    }
    device.upload(storage, values);
    storage.version++;
    storage.writer = "upload";
  }
}

/**
 * A tensor that a module owns and nobody trains, such as the codes of packed weights (PyTorch's buffer). `unfreeze`
 * passes it over.
 */
export class FrozenParameter extends Parameter {
  readonly #weights: number;

  /** @param weights - how many weights it stands for where parameters are counted; 0 for what is no weight itself */
  constructor(tensor: Tensor, weights: number) {
    super(tensor, false);
    this.#weights = weights;
  }

  override get weights(): number {
    return this.#weights;
  }
}
