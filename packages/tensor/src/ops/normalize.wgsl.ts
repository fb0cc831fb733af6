import type { View } from "../device/device.ts";
import type { GpuInfo, Kernel } from "./kernel.ts";
import { type RowFrame, rowFrame, rowsOf } from "./rows.ts";

/** The rows of y = x̂ · weight + bias; where there is a `residual`, of x = residual + the first, which is written to `sum`. */
export function forwardKernel(
  {
    x,
    residual,
    weight,
    bias,
    sum,
    y,
    centered,
    eps,
  }: {
    readonly x: View;
    readonly residual?: View;
    readonly weight: View | undefined;
    readonly bias?: View;
    readonly sum?: View;
    readonly y: View;
    readonly centered: boolean;
    readonly eps: number;
  },
  gpu: GpuInfo,
): Kernel {
  const { rows, n } = rowsOf(x);
  const frame = rowFrame(n, gpu, sum === undefined ? [y] : [sum, y]);
  const { bind, load } = frame;
  const from = bind("x", x, "read");
  const gain = weight && bind("weight", weight, "read");
  const shift = bias && bind("bias", bias, "read");
  const other = residual && bind("residual", residual, "read");
  const total = sum && bind("sum", sum, "update");
  const to = bind("y", y, "write");
  const at = (k: string): string => load(total ?? from, k);
  // A lane reads only those values of the sum that it has written.
  const adding =
    total && other
      ? `for (var k = lane; k < P.loads; k += lanes) { ${frame.store(total, "start + k", `${load(from, "start + k")} + ${load(other, "start + k")}`)} }`
      : "";
  return {
    ...rowsKernel(frame, rows, n, eps),
    bindings: [from, other, gain, shift, total, to].filter((binding) => binding !== undefined),
    declare: () => frame.fold("sum"),
    main: () => `let start = group * P.loads;
  ${adding}
  ${statistics(frame, at, centered)}
  for (var k = lane; k < P.loads; k += lanes) {
    ${frame.store(to, "start + k", `${value(at, centered)} * r${gain ? ` * ${load(gain, "k")}` : ""}${shift ? ` + ${load(shift, "k")}` : ""}`)}
  }`,
  };
}

export function gradientKernel(
  {
    x,
    dy,
    weight,
    residual,
    dx,
    centered,
    eps,
  }: {
    readonly x: View;
    readonly dy: View;
    readonly weight: View | undefined;
    readonly residual: View | undefined;
    readonly dx: View;
    readonly centered: boolean;
    readonly eps: number;
  },
  gpu: GpuInfo,
): Kernel {
  const { rows, n } = rowsOf(x);
  const frame = rowFrame(n, gpu, [dx]);
  const { bind, load } = frame;
  const from = bind("x", x, "read");
  const above = bind("dy", dy, "read");
  const gain = weight && bind("weight", weight, "read");
  const other = residual && bind("residual", residual, "read");
  const to = bind("dx", dx, "write");
  const at = (k: string): string => load(from, k);
  const g = `${load(above, "start + k")}${gain ? ` * ${load(gain, "k")}` : ""}`;
  const result = `r * (${g}${centered ? " - g_mean" : ""} - ${value(at, centered)} * slope)${other ? ` + ${load(other, "start + k")}` : ""}`;
  return {
    ...rowsKernel(frame, rows, n, eps),
    bindings: [from, above, gain, other, to].filter((binding) => binding !== undefined),
    declare: () => frame.fold("sum"),
    main: () => `let start = group * P.loads;
  ${statistics(frame, at, centered)}
  var g_sum = ${frame.type}(); var products = ${frame.type}();
  for (var k = lane; k < P.loads; k += lanes) { let g = ${g}; ${centered ? "g_sum += g; " : ""}products += g * ${value(at, centered)}; }
  ${centered ? `let g_mean = fold_sum(lane, ${frame.total("g_sum")}) / f32(P.n);` : ""}
  let slope = r * r * fold_sum(lane, ${frame.total("products")}) / f32(P.n);
  for (var k = lane; k < P.loads; k += lanes) { ${frame.store(to, "start + k", result)} }`,
  };
}

function rowsKernel(frame: RowFrame, rows: number, n: number, eps: number) {
  return {
    key: `${frame.wide ? "rows4" : "rows"}${frame.subgroups ? "s" : ""}`,
    over: "group",
    lanes: frame.lanes,
    subgroups: frame.subgroups,
    count: n === 0 ? 0 : rows,
    params: [
      ["n", "u32", n],
      ["loads", "u32", frame.loads],
      ["eps", "f32", eps],
    ],
  } as const;
}

/** WGSL that leaves the row's m (if centered) and r. The mean goes first: a second pass over a row is cheap, cancellation is not. */
export function statistics(frame: RowFrame, at: (k: string) => string, centered: boolean): string {
  return `${
    centered
      ? `var x_sum = ${frame.type}();
  for (var k = lane; k < P.loads; k += lanes) { x_sum += ${at("start + k")}; }
  let m = fold_sum(lane, ${frame.total("x_sum")}) / f32(P.n);`
      : ""
  }
  var squares = ${frame.type}();
  for (var k = lane; k < P.loads; k += lanes) { let v = ${value(at, centered)}; squares += v * v; }
  let r = inverseSqrt(fold_sum(lane, ${frame.total("squares")}) / f32(P.n) + P.eps);`;
}

export function value(at: (k: string) => string, centered: boolean): string {
  return centered ? `(${at("start + k")} - m)` : at("start + k");
}
