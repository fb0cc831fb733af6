import type { View } from "../device/device.ts";
import { sizeOf } from "../shape.ts";
import type { Binding, GpuInfo, Kernel } from "./kernel.ts";
import { statistics, value } from "./normalize.wgsl.ts";
import type { Op } from "./op.ts";
import { rowFrame, rowsOf } from "./rows.ts";

export interface NormAffineAttrs {
  readonly eps: number;
  /** Whether the gradient of a bias is wanted too. */
  readonly bias: boolean;
}

/** Workgroups that share the rows: each keeps one sum a column. */
const BLOCKS = 128;

/**
 * The gradients of a norm by its weight and bias: `Σ dy · x̂` and `Σ dy` over all rows, in a fixed order. Inputs [x, dy];
 * outputs [dweight] or [dweight, dbias], `[features]` each.
 */
export function normalizationAffine(name: string, centered: boolean): Op<NormAffineAttrs> {
  return {
    name: `${name}AffineGradient`,

    infer([x, dy], { bias }) {
      const meta = { shape: x.shape.slice(-1), dtype: dy.dtype };
      return bias ? [meta, meta] : [meta];
    },

    cpu([x, dy], [dWeight, dBias], { eps }) {
      const { rows, n } = rowsOf(x);
      const [weights, biases] = [new Float64Array(n), new Float64Array(n)];
      for (let row = 0; row < rows; row++) {
        const start = row * n;
        let m = 0;
        if (centered) {
          for (let k = 0; k < n; k++) m += x.data[start + k];
          m /= n;
        }
        let squares = 0;
        for (let k = 0; k < n; k++) squares += (x.data[start + k] - m) ** 2;
        const r = 1 / Math.sqrt(squares / n + eps);
        for (let k = 0; k < n; k++) {
          weights[k] += dy.data[start + k] * (x.data[start + k] - m) * r;
          biases[k] += dy.data[start + k];
        }
      }
      dWeight.data.set(weights);
      dBias?.data.set(biases);
    },

    wgsl([x, dy], outs, { eps }, gpu) {
      const { rows, n } = rowsOf(x);
      const blocks = Math.min(rows, BLOCKS);
      const parts = outs.map(() => gpu.scratch("f32", Math.max(1, blocks) * n));
      return [partsKernel(x, dy, parts, { blocks, centered, eps }, gpu), totalKernel(parts, outs, blocks)];
    },

    gradient: "none: it is used where nothing is recorded",
    flops: ([x]) => 6 * sizeOf(x.shape),
  };
}

/** Block b adds up rows b, b + blocks, … in their order; each column belongs to one lane. */
function partsKernel(
  x: View,
  dy: View,
  parts: readonly View[],
  { blocks, centered, eps }: { readonly blocks: number; readonly centered: boolean; readonly eps: number },
  gpu: GpuInfo,
): Kernel {
  const { rows, n } = rowsOf(x);
  const frame = rowFrame(n, gpu, parts);
  const { bind, load } = frame;
  const from = bind("x", x, "read");
  const above = bind("dy", dy, "read");
  const sums = parts.map((part, i) => bind(names[i], part, "update"));
  const at = (k: string): string => load(from, k);
  const put = (sum: Binding, i: number): string => {
    const dyText = load(above, "start + k");
    const term = i === 0 ? `${dyText} * ${value(at, centered)} * r` : dyText;
    return `{ var total = ${term}; if (row != group) { total += ${load(sum, "group * P.loads + k")}; } ${frame.store(sum, "group * P.loads + k", "total")} }`;
  };
  return {
    key: `parts${frame.wide ? "4" : ""}${frame.subgroups ? "s" : ""}`,
    over: "group",
    lanes: frame.lanes,
    subgroups: frame.subgroups,
    count: n === 0 ? 0 : blocks,
    bindings: [from, above, ...sums],
    params: [
      ["n", "u32", n],
      ["loads", "u32", frame.loads],
      ["rows", "u32", rows],
      ["eps", "f32", eps],
    ],
    declare: () => frame.fold("sum"),
    main: () => `for (var row = group; row < P.rows; row += P.count) {
    let start = row * P.loads;
    ${statistics(frame, at, centered)}
    for (var k = lane; k < P.loads; k += lanes) { ${sums.map(put).join(" ")} }
  }`,
  };
}

/** The sum of the blocks, one invocation a column. */
function totalKernel(parts: readonly View[], outs: readonly View[], blocks: number): Kernel {
  const n = sizeOf(outs[0].shape);
  const wide = n % 4 === 0;
  const as = wide ? "vec4" : undefined;
  const [at, put, zero] = wide ? ["at4", "put4", "vec4f()"] : ["at", "put", "0.0f"];
  return {
    key: `total${wide ? "4" : ""}`,
    over: "element",
    count: wide ? n / 4 : n,
    bindings: [
      ...parts.map((view, i): Binding => ({ name: names[i], view, access: "read", as })),
      ...outs.map((view, i): Binding => ({ name: `d${names[i]}`, view, access: "write", as })),
    ],
    params: [["blocks", "u32", blocks]],
    main: () =>
      parts
        .map(
          (_, i) =>
            `var total${i} = ${zero};
  for (var b = 0u; b < P.blocks; b++) { total${i} += ${names[i]}_${at}(b * P.count + i); }
  d${names[i]}_${put}(i, total${i});`,
        )
        .join("\n  "),
  };
}

const names = ["weight", "bias"];
