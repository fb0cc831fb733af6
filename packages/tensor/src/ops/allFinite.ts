import { isFloat } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";

const LANES = 64;
/** Values that one workgroup looks at, at least, and the most workgroups: the second kernel reads one word of each. */
const PER_GROUP = 4096;
const MOST_GROUPS = 1024;

const fold = (result: string): string => `all_ok[lane] = ok;
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half /= 2u) {
    if (lane < half) { all_ok[lane] &= all_ok[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u) { ${result} }`;

const allFiniteOp: Op<null> = {
  name: "allFinite",
  infer([x]) {
    if (!isFloat(x.dtype)) throw new DTypeError("allFinite", `x must be a float type, got ${x.dtype}.`);
    return [{ shape: [], dtype: "bool" }];
  },
  cpu([x], [out]) {
    const n = sizeOf(x.shape);
    let ok = 1;
    for (let i = 0; i < n && ok === 1; i++) if (!Number.isFinite(x.data[i])) ok = 0;
    out.data[0] = ok;
  },
  // Two rounds: workgroups over stretches of x, then one workgroup over their answers. On bits, since WGSL may assume that
  // no value is infinite.
  wgsl([x], [out], _, gpu) {
    const n = sizeOf(x.shape);
    const groups = Math.max(1, Math.min(MOST_GROUPS, Math.ceil(n / PER_GROUP)));
    const answers = gpu.scratch("u32", groups);
    const declare = (): string => `var<workgroup> all_ok: array<u32, ${LANES}>;`;
    return [
      {
        key: "stretches",
        over: "group",
        count: groups,
        lanes: LANES,
        bindings: [
          { name: "x", view: x, access: "read" },
          { name: "y", view: answers, access: "write" },
        ],
        params: [["n", "u32", n]],
        declare,
        main: () => `var ok = 1u;
  for (var k = group * lanes + lane; k < P.n; k += P.count * lanes) {
    if ((bitcast<u32>(x_at(k)) & 0x7f800000u) == 0x7f800000u) { ok = 0u; }
  }
  ${fold("y_put(group, all_ok[0]);")}`,
      },
      {
        key: "answers",
        over: "group",
        count: 1,
        lanes: LANES,
        bindings: [
          { name: "x", view: answers, access: "read" },
          { name: "y", view: out, access: "write" },
        ],
        params: [["n", "u32", groups]],
        declare,
        main: () => `var ok = 1u;
  for (var k = lane; k < P.n; k += lanes) { ok &= x_at(k); }
  ${fold("y_put(0u, all_ok[0] == 1u);")}`,
      },
    ];
  },
  gradient: "none: a truth value does not change smoothly",
  flops: ([x]) => sizeOf(x.shape),
};

/** Whether no value of `x` is infinite or NaN: a bool scalar, true for none. `x` is of a float type. */
export function allFinite(x: Tensor): Tensor {
  return apply(allFiniteOp, [x], null)[0];
}
