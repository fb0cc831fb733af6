import { grad } from "../autograd/tape.ts";
import { fromArray } from "../create.ts";
import { DTypeError } from "../errors.ts";
import { mul } from "../ops/mul.ts";
import { sum } from "../ops/sum.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { assertWithin } from "./compare.ts";
import { differenceAlong, reach, STEP } from "./differences.ts";
import { valuesOf } from "./values.ts";

export interface GradcheckOptions {
  /** Step of the differences, relative to each value. Default 1e-6. */
  eps?: number;
  /** Default 1e-6. Differences have about 1e-9 in float64; a wrong gradient is wrong by far more than 1e-6. */
  relative?: number;
  /** Default 1e-7, in units of the output. */
  absolute?: number;
}

/**
 * Compares the gradient that backward gives with central differences, value by value, and throws at the first that
 * disagrees. The outputs are weighted by fixed random numbers, so a gradient that is right only for a plain sum is found.
 * @param fn - a function that is smooth at `inputs`
 * @param inputs - f64 tensors on the CPU device; those with `requiresGrad` are checked
 */
export async function gradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  { eps = STEP, relative = 1e-6, absolute = 1e-7 }: GradcheckOptions = {},
): Promise<void> {
  for (const { dtype } of inputs)
    if (dtype === "f32" || dtype === "f16" || dtype === "bf16")
      throw new DTypeError("gradcheck", `float inputs must be f64 on the CPU device, got ${dtype}.`);
  const checked = inputs.filter((input) => input.requiresGrad);
  if (checked.length === 0)
    throw new Error("gradcheck: no input has requiresGrad. Set it on the inputs to check.");
  const at = await Promise.all(inputs.map((input) => input.toArray()));
  const weighted = (own: readonly Tensor[]): Tensor => {
    const y = fn(...own);
    const weights = fromArray(y.device, valuesOf("positive", 3, y.size), y.shape, { dtype: "f64" });
    return sum(mul(y, weights));
  };
  const found = scope(() => grad(weighted(inputs), checked, { allowUnused: true }));
  const gradients = await Promise.all(found.map((dx) => dx?.toArray()));
  for (const dx of found) dx?.dispose();

  const f = async (values: readonly Float64Array[]): Promise<number> => {
    // Recorded, so that fn may itself ask for gradients.
    const loss = scope(() =>
      weighted(
        inputs.map(({ device, shape, dtype, requiresGrad }, k) =>
          fromArray(device, values[k], shape, { dtype, requiresGrad }),
        ),
      ).detach(),
    );
    const value = await loss.item();
    loss.dispose();
    return value;
  };
  for (const [n, input] of checked.entries()) {
    const k = inputs.indexOf(input);
    const numeric: number[] = [];
    for (let i = 0; i < input.size; i++) {
      const step = reach(at[k][i]);
      const direction = at.map((values, j) => Array.from(values, (_, p) => (j === k && p === i ? step : 0)));
      numeric.push((await differenceAlong(f, at, direction, eps)) / step);
    }
    assertWithin({
      label: `gradcheck: gradient by input ${k}`,
      shape: input.shape,
      got: gradients[n] ?? new Float64Array(input.size),
      want: numeric,
      budget: (i) => relative * Math.abs(numeric[i]) + absolute / Math.max(reach(at[k][i]), 1e-3),
    });
  }
}
