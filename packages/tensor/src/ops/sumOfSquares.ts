import type { View } from "../device/device.ts";
import { isFloat } from "../dtype.ts";
import { DTypeError, ShapeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { Kernel } from "./kernel.ts";
import { mul } from "./mul.ts";
import { runsOf, totalSize, vectorOf } from "./neighbours.ts";
import { apply, type Op, type Together } from "./op.ts";
import { commonType } from "./pointwise/pointwise.ts";
import { foldFunctions } from "./rows.ts";
import { listOf, type OneOrMore } from "./updates.ts";

/** Sums that are kept apart until the end: value i of all, counted through the list, goes to sum i mod SLOTS. */
const SLOTS = 65_536;
const LANES = 256;

const ops = new Map<number, Op<null>>();

/** Inputs: `count` tensors. One op for each count. */
function opFor(count: number): Op<null> {
  const known = ops.get(count);
  if (known !== undefined) return known;
  const together: Together[] = count === 1 ? [] : [{ inputs: Array.from({ length: count }, (_, k) => k) }];
  const op: Op<null> = {
    name: "sumOfSquares",
    together: () => together,

    infer(inputs) {
      const names = inputs.map((_, k) => (count === 1 ? "x" : `tensor ${k} of ${count}`));
      inputs.forEach(({ dtype }, k) => {
        if (!isFloat(dtype))
          throw new DTypeError(
            "sumOfSquares",
            `${names[k]} must be a float type, got ${dtype}. Use cast first.`,
          );
      });
      return [{ shape: [], dtype: commonType("sumOfSquares", names, inputs) }];
    },

    cpu(inputs, [y]) {
      let total = 0;
      for (const { data } of inputs) for (let i = 0; i < data.length; i++) total += data[i] * data[i];
      y.data[0] = total;
    },

    // Which sum a value goes to, and when, follows from its place in the list alone: the bits are the same whether the
    // tensors lie side by side, so that one dispatch takes them all, or apart.
    wgsl(inputs, [y], _, gpu) {
      const size = totalSize(inputs);
      const slots = Math.min(SLOTS, Math.ceil(size / 4) * 4);
      const sums = gpu.scratch("f32", slots);
      const starts = inputs.map((__, k) => totalSize(inputs.slice(0, k)));
      return [
        ...runsOf([inputs]).map((run) => partialKernel(vectorOf(inputs, run), sums, starts[run.from], slots)),
        totalKernel(sums, y, Math.min(slots, size)),
      ];
    },

    gradient: ({ inputs, dy, needs }) => inputs.map((x, k) => (needs[k] ? mul(mul(x, 2), dy) : undefined)),
    flops: (inputs) => 2 * totalSize(inputs),
  };
  ops.set(count, op);
  return op;
}

/** Adds the squares of a vector that begins at place `begin` of the list. A sum's first value sets it. */
function partialKernel(x: View, sums: View, begin: number, slots: number): Kernel {
  const size = sizeOf(x.shape);
  const wide = x.dtype === "f32" && [x.offset, begin, size].every((value) => value % 4 === 0);
  const unit = wide ? 4 : 1;
  const as = wide ? "vec4" : undefined;
  const [at, put, zero] = wide ? ["at4", "put4", "vec4f()"] : ["at", "put", "0.0f"];
  return {
    key: wide ? "partial4" : "partial",
    over: "element",
    count: Math.min(size, slots) / unit,
    bindings: [
      { name: "x", view: x, access: "read", as },
      { name: "y", view: sums, access: "update", as },
    ],
    params: [
      ["size", "u32", size / unit],
      ["begin", "u32", begin / unit],
      ["slots", "u32", slots / unit],
    ],
    main: () => `let place = P.begin + i;
  let slot = place % P.slots;
  var total = ${zero};
  if (place >= P.slots) { total = y_${at}(slot); }
  for (var k = i; k < P.size; k += P.slots) { let v = x_${at}(k); total = fma(v, v, total); }
  y_${put}(slot, total);`,
  };
}

/** The total of the first `filled` sums. */
function totalKernel(sums: View, y: View, filled: number): Kernel {
  const wide = filled % 4 === 0;
  return {
    key: wide ? "total4" : "total",
    over: "group",
    lanes: LANES,
    count: 1,
    bindings: [
      { name: "x", view: sums, access: "read", as: wide ? "vec4" : undefined },
      { name: "y", view: y, access: "write" },
    ],
    params: [["loads", "u32", wide ? filled / 4 : filled]],
    declare: () => foldFunctions("sum"),
    main: () => `var part = ${wide ? "vec4f()" : "0.0f"};
  for (var k = lane; k < P.loads; k += lanes) { part += x_${wide ? "at4" : "at"}(k); }
  let total = fold_sum(lane, ${wide ? "part.x + part.y + (part.z + part.w)" : "part"});
  if (lane == 0u) { y_put(0u, total); }`,
  };
}

/**
 * `Σ x²` over all values of one tensor or several together, in a fixed order, as a scalar: what the norm of gradients is
 * made of. Sums in f32 on a GPU, in float64 on the CPU device; makes no tensor of squares. Two dispatches where the tensors
 * lie side by side in one storage.
 */
export function sumOfSquares(x: OneOrMore): Tensor {
  const list = listOf(x);
  if (list.length === 0) throw new ShapeError("sumOfSquares", "there must be at least one tensor, got none.");
  return apply(opFor(list.length), list, null)[0];
}
