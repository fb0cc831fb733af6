import { type Device, type DType, isFloat, Tensor, type TypedArray } from "@graft/tensor";

/** A tensor that a module owns and an optimiser may change. It lives until the module is disposed. */
export class Parameter extends Tensor {
  /** Takes over the tensor: its handle is disposed, its values stay where they are. */
  constructor(tensor: Tensor, requiresGrad = isFloat(tensor.dtype)) {
    super(tensor, tensor.storage.retain(), tensor.offset);
    tensor.dispose();
    this.requiresGrad = requiresGrad;
  }

  /** A parameter without values yet (zero on the CPU device), for a checkpoint to fill. */
  static empty(device: Device, shape: readonly number[], dtype: DType = "f32"): Parameter {
    device.checkDType("Parameter", dtype);
    const size = shape.reduce((product, dim) => product * dim, 1);
    return new Parameter(new Tensor({ shape: [...shape], dtype }, device.allocate(dtype, size), 0));
  }

  /** Replaces the values by host values in the storage form of the dtype (f16 and bf16 as bits). */
  upload(values: TypedArray): void {
    this.device.upload(this.storage, values);
    this.storage.version++;
    this.storage.writer = "upload";
  }
}
