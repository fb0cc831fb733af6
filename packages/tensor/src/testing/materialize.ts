import { fromArray } from "../create.ts";
import type { Device } from "../device/device.ts";
import { type DType, isFloat } from "../dtype.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../formats/half.ts";
import { currentScope } from "../scope.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import type { Sample, SampleInput } from "./cases.ts";

/** Where a sample's tensors are made. */
export interface Place {
  readonly device: Device;
  /** "stored": the sample's types. "f64": floats in double precision, with exactly the values that the stored types hold. */
  readonly precision: "stored" | "f64";
  readonly requiresGrad?: boolean;
}

/** The tensors of many samples, as views at different offsets of one storage for each type. */
export function packed(samples: readonly Sample[], place: Place): Tensor[][] {
  const totals = new Map<DType, number[]>();
  const starts = samples.map(({ inputs }) =>
    inputs.map((input) => {
      const dtype = dtypeAt(input, place);
      const all = totals.get(dtype) ?? [0]; // the first value belongs to nobody, so that no view starts at 0
      totals.set(dtype, all);
      const start = all.length;
      for (const value of stored(input)) all.push(value);
      return start;
    }),
  );
  const storages = new Map<DType, Tensor>();
  for (const [dtype, values] of totals)
    storages.set(dtype, fromArray(place.device, values, [values.length], { dtype }));
  return samples.map(({ inputs }, s) =>
    inputs.map((input, i) => {
      const whole = storages.get(dtypeAt(input, place));
      if (whole === undefined) throw new Error("every type has its storage");
      return marked(viewOf(whole, starts[s][i], input.shape), input, place);
    }),
  );
}

/** The tensors of one sample, each in a storage of its own. `values` replaces the sample's, one list for each input. */
export function separate(
  sample: Sample,
  place: Place,
  values?: readonly (ArrayLike<number> | undefined)[],
): Tensor[] {
  return sample.inputs.map((input, i) => {
    const own = values?.[i] ?? stored(input);
    return marked(fromArray(place.device, own, input.shape, { dtype: dtypeAt(input, place) }), input, place);
  });
}

/** `shape` values of a tensor from element `start`, sharing its storage. */
export function viewOf(whole: Tensor, start: number, shape: Shape): Tensor {
  if (start + sizeOf(shape) > whole.size) throw new Error("the view ends beyond the tensor");
  const meta = { shape: [...shape], dtype: whole.dtype };
  const view = new Tensor(meta, whole.storage.retain(), whole.offset + start);
  currentScope()?.addTensor(view);
  return view;
}

/** Whether the gradient by this input is looked at. */
export function wantsGradient({ grad, dtype = "f32" }: SampleInput): boolean {
  return grad ?? dtype === "f32";
}

/** The values as the input's type holds them. */
export function stored({ values, dtype = "f32" }: SampleInput): readonly number[] | Float32Array {
  if (dtype === "f16") return f16ToF32(f32ToF16(Float32Array.from(values)));
  if (dtype === "bf16") return bf16ToF32(f32ToBf16(Float32Array.from(values)));
  return dtype === "f32" ? Float32Array.from(values) : values;
}

function dtypeAt({ dtype = "f32" }: SampleInput, { precision }: Place): DType {
  return precision === "f64" && isFloat(dtype) ? "f64" : dtype;
}

function marked(made: Tensor, input: SampleInput, { requiresGrad = false }: Place): Tensor {
  if (requiresGrad && wantsGradient(input)) made.requiresGrad = true;
  return made;
}
