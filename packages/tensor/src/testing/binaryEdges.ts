import { fromArray } from "../create.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { ErrorCase, Sample } from "./cases.ts";
import { inputOf, type ValueKind, valuesOf } from "./values.ts";

type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;

export interface BinaryEdgeOptions {
  readonly kind?: ValueKind;
  /** True where i32 and u32 are taken. */
  readonly integers?: boolean;
  readonly magnitude?: Sample["magnitude"];
}

/** The shapes and types at which an op of two broadcast operands usually breaks. */
export function binaryEdges(
  fn: Binary,
  { kind = "normal", integers = false, magnitude }: BinaryEdgeOptions = {},
): Sample[] {
  const pair = (why: string, a: Shape, b: Shape, dtype?: DType): Sample => ({
    inputs: [inputOf(a, 1, { kind, dtype }), inputOf(b, 1, { kind, lane: 1, dtype })],
    call: (x, y) => fn(x, y),
    magnitude,
    why,
  });
  const whole = (dtype: "i32" | "u32"): Sample => ({
    inputs: [0, 1].map((lane) => ({
      shape: [5],
      dtype,
      values: valuesOf("halves", 3, 5, lane).map((v) => (dtype === "i32" ? v * 2 : v * 2 + 9)),
    })),
    call: (x, y) => fn(x, y),
    why: dtype,
  });
  return [
    pair("two scalars", [], []),
    pair("no values", [0], [0]),
    pair("no values, broadcast", [3, 0], [1]),
    pair("no rows", [0, 3], [3]),
    pair("longer than a workgroup, and odd", [131], [131]),
    pair("a row for each row", [7, 5], [5]),
    pair("a column for each column", [7, 1], [7, 5]),
    pair("an outer product", [7, 1], [1, 5]),
    pair("axes of size 1 inside", [2, 1, 3, 1], [1, 4, 1, 5]),
    pair("a scalar on the left", [], [3, 2]),
    pair("f16", [5], [5], "f16"),
    pair("bf16, broadcast", [3, 1], [3], "bf16"),
    {
      inputs: [inputOf([3, 2], 2, { kind })],
      call: (x) => fn(x, 1.25),
      magnitude: magnitude && ((x) => magnitude(x, constant(x, 1.25))),
      why: "a number on the right",
    },
    {
      inputs: [inputOf([3, 2], 2, { kind })],
      call: (x) => fn(0.75, x),
      magnitude: magnitude && ((x) => magnitude(constant(x, 0.75), x)),
      why: "a number on the left",
    },
    {
      inputs: [inputOf([4], 3, { kind })],
      call: (x) => fn(x, x),
      magnitude: magnitude && ((x) => magnitude(x, x)),
      smooth: kind !== "apart",
      why: "the same tensor twice",
    },
    ...(integers ? [whole("i32"), whole("u32")] : []),
  ];
}

function constant(like: Tensor, value: number): Tensor {
  return fromArray(like.device, [value], [], { dtype: like.dtype });
}

/** The errors that every op of two operands has. */
export function binaryErrors(
  name: string,
  fn: Binary,
  { integers = false }: { integers?: boolean } = {},
): ErrorCase[] {
  const f32 = (device: Parameters<typeof fromArray>[0], shape: Shape): Tensor =>
    fromArray(
      device,
      valuesOf(
        "normal",
        1,
        shape.reduce((a, b) => a * b, 1),
      ),
      shape,
    );
  return [
    {
      call: (device) => fn(f32(device, [2, 3]), f32(device, [2])),
      message: `${name}: shapes must broadcast, got a [2, 3] and b [2].`,
    },
    {
      call: () => fn(1, 2),
      message: `${name}: one operand must be a tensor, got two numbers.`,
    },
    {
      call: (device) => fn(f32(device, [2]), fromArray(device, [1, 0], [2], { dtype: "bool" })),
      message: `${name}: b must be a number type, got bool.`,
    },
    {
      call: (device) => fn(f32(device, [2]), fromArray(device, [1, 0], [2], { dtype: "i32" })),
      message: integers
        ? `${name}: dtypes must agree, got a f32 and b i32. Use cast on one of them.`
        : `${name}: b must be a float type, got i32. Use cast first.`,
    },
    ...(integers ? wholeNumbers(name, fn) : []),
  ];
}

function wholeNumbers(name: string, fn: Binary): ErrorCase[] {
  const words = (operand: string, dtype: string, value: number): string =>
    `${name}: ${operand} must be a whole number that ${dtype} holds, got ${value}. Use cast on the tensor.`;
  return [
    {
      call: (device) => fn(fromArray(device, [1], [1], { dtype: "i32" }), 1.5),
      message: words("b", "i32", 1.5),
    },
    {
      call: (device) => fn(-1, fromArray(device, [1], [1], { dtype: "u32" })),
      message: words("a", "u32", -1),
    },
  ];
}
