import { ShapeError } from "../errors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { apply, type Op } from "./op.ts";
import { checkIndexType, checkIndexValues } from "./take.ts";

const oneHotOp: Op<{ classes: number }> = {
  name: "oneHot",
  infer([ids], { classes }) {
    checkIndexType("oneHot", "ids", ids);
    if (!(Number.isInteger(classes) && classes >= 1))
      throw new ShapeError("oneHot", `classes must be a whole number of at least 1, got ${classes}.`);
    return [{ shape: [...ids.shape, classes], dtype: "f32" }];
  },
  cpu([ids], [out], { classes }) {
    checkIndexValues("oneHot", "ids", ids, classes);
    out.data.fill(0);
    const n = sizeOf(ids.shape);
    for (let i = 0; i < n; i++) out.data[i * classes + ids.data[i]] = 1;
  },
  wgsl: ([ids], [out], { classes }) => [
    {
      key: "oneHot",
      over: "element",
      count: sizeOf(out.shape),
      bindings: [
        { name: "ids", view: ids, access: "read" },
        { name: "y", view: out, access: "write" },
      ],
      params: [["classes", "u32", classes]],
      main: () => "y_put(i, select(0.0f, 1.0f, u32(ids_at(i / P.classes)) == i % P.classes));",
    },
  ],
  gradient: "none: an index does not change smoothly",
  flops: () => 0,
};

/**
 * 1 at the place that each id names, 0 elsewhere, as f32.
 * @param ids - [...], i32 or u32, in [0, classes): checked on the CPU device only, a GPU gives a row of zeros
 * @returns [..., classes]
 */
export function oneHot(ids: Tensor, classes: number): Tensor {
  return apply(oneHotOp, [ids], { classes })[0];
}
