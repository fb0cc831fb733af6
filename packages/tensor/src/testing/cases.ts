import type fc from "fast-check";
import type { Device } from "../device/device.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** One tensor of a sample: its host values, from which the loops make it on each device in each precision. */
export interface SampleInput {
  readonly shape: Shape;
  readonly values: readonly number[];
  /** Default "f32", which the float64 oracle replaces by f64. */
  readonly dtype?: DType;
  /** Whether the gradient by this input is checked. Default: true for f32. */
  readonly grad?: boolean;
}

/** One call of an op. `call` gets the inputs as tensors; numbers and options are in its closure. */
export interface Sample {
  readonly inputs: readonly SampleInput[];
  readonly call: (...inputs: Tensor[]) => Tensor | readonly Tensor[];
  /**
   * The sum of magnitudes behind each output value, as a tensor that broadcasts to the (first) output: the error budget
   * is `ulps · 2⁻²⁴ · magnitude`. Computed in float64. Default: |output|. A matmul gives `matmul(abs(a), abs(b))`.
   */
  readonly magnitude?: (...inputs: Tensor[]) => Tensor;
  /** For people: what the sample is about, with its shapes and options. Shown with a failure. */
  readonly why: string;
  /** False where a central difference says nothing: at kinks and ties. The gradient must still agree between devices. */
  readonly smooth?: boolean;
}

/** A call that must fail, with the words that the user reads. */
export interface ErrorCase {
  readonly call: (device: Device) => unknown;
  /** The whole message. */
  readonly message: string;
}

/** All that the test loops need to know of one exported op. */
export interface OpCases {
  /** The name of the export of `ops/index.ts`. */
  readonly name: string;
  /** What PyTorch calls it, for the table of ops and the goldens. */
  readonly torch: string;
  /** Random samples; they shrink to a minimal shape. */
  readonly samples: fc.Arbitrary<Sample>;
  /** Samples that must always run, with the reason in `why`: size 1, size 0, odd sizes, ties, views, large values. */
  readonly edges: readonly Sample[];
  readonly errors: readonly ErrorCase[];
  /** Rounding steps of the op's f32 kernels, in units of 2⁻²⁴ of the magnitude, with the reason. */
  readonly ulps: number;
  readonly ulpsWhy: string;
  /** "none: <reason>" where there is no gradient to check. */
  readonly gradient?: `none: ${string}`;
}
