import { fromArray } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { unarySamples } from "./arbitraries.ts";
import type { OpCases, Sample } from "./cases.ts";
import { inputOf, type ValueKind } from "./values.ts";

export interface UnaryCases extends Pick<OpCases, "name" | "torch" | "ulps" | "ulpsWhy" | "gradient"> {
  readonly fn: (x: Tensor) => Tensor;
  /** Default: normal and halves. */
  readonly kinds?: readonly ValueKind[];
  /** True where the function has kinks: values are then kept apart, or not compared with differences. */
  readonly kinks?: boolean;
  readonly magnitude?: Sample["magnitude"];
  /** Values that must always be tried: large ones, zeros. Their gradients are compared between devices. */
  readonly values?: readonly number[];
  /** More samples that must always run. */
  readonly edges?: readonly Sample[];
  /** "float" (default): integers are an error. "any": they are taken. */
  readonly types?: "float" | "any";
}

/** Cases of an elementwise function of one tensor: the shapes and types at which one usually breaks. */
export function unaryCases({ fn, kinds, kinks = false, magnitude, values, ...rest }: UnaryCases): OpCases {
  const allowed = kinds ?? (kinks ? undefined : (["normal", "halves"] as const));
  const kind = kinks ? "apart" : (allowed?.[0] ?? "normal");
  const call = (x: Tensor): Tensor => fn(x);
  const at = (why: string, shape: Shape, dtype?: DType): Sample => ({
    inputs: [inputOf(shape, 1, { kind, dtype })],
    call,
    magnitude,
    why,
  });
  const { name, torch, ulps, ulpsWhy, gradient, types = "float" } = rest;
  const listed: Sample = {
    inputs: [{ shape: [values?.length ?? 0], values: values ?? [] }],
    call,
    magnitude,
    smooth: false,
    why: "values that must always be tried",
  };
  const whole: Sample = { inputs: [{ shape: [3], dtype: "i32", values: [-4, 0, 7] }], call, why: "i32" };
  return {
    name,
    torch,
    samples: unarySamples(call, { kinds: allowed, kinks, magnitude }),
    edges: [
      at("a scalar", []),
      at("no values", [2, 0]),
      at("longer than a workgroup, and odd", [131]),
      at("f16", [5], "f16"),
      at("bf16", [5], "bf16"),
      ...(values === undefined ? [] : [listed]),
      ...(types === "any" ? [whole] : []),
      ...(rest.edges ?? []),
    ],
    errors:
      types === "any"
        ? [
            {
              call: (device) => fn(fromArray(device, [1, 0], [2], { dtype: "bool" })),
              message: `${name}: x must be a number type, got bool.`,
            },
          ]
        : [
            {
              call: (device) => fn(fromArray(device, [1, 2], [2], { dtype: "i32" })),
              message: `${name}: x must be a float type, got i32. Use cast first.`,
            },
          ],
    ulps,
    ulpsWhy,
    gradient,
  };
}
