import type { PackedLayout } from "../../formats/packed/packed.ts";
import { scope } from "../../scope.ts";
import { sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { apply, type Op } from "../op.ts";
import { inShape } from "../reshape.ts";
import { checkIndexType, checkIndexValues } from "../take.ts";
import { bindMatrix, checkParts, type PackedMatrix, rowScaleOf } from "./matrix.ts";

const packedEmbeddingOp: Op<{ readonly layout: PackedLayout }> = {
  name: "packedEmbedding",

  infer([ids, ...parts], { layout }) {
    checkIndexType("packedEmbedding", "ids", ids);
    checkParts("packedEmbedding", layout, parts);
    const dtype = parts.some((part) => part.dtype === "f64") ? "f64" : "f32";
    return [{ shape: [sizeOf(ids.shape), layout.shape[1]], dtype }];
  },

  cpu([ids, ...parts], [y], { layout }) {
    const [rows, columns] = layout.shape;
    checkIndexValues("packedEmbedding", "ids", ids, rows);
    const data = parts.map((part) => part.data);
    const row = new Float32Array(columns);
    for (let i = 0; i < sizeOf(ids.shape); i++) {
      const start = ids.data[i] * columns;
      layout.format.decode(layout, data, start, start + columns, row);
      y.data.set(row, i * columns);
    }
  },

  wgsl([ids, ...parts], [y], { layout }, gpu) {
    const { kernels, stored } = bindMatrix(layout, parts, gpu);
    const reader = stored.read("w", false, 0);
    const scaled = rowScaleOf(layout, parts);
    const scale = scaled === undefined ? "" : " * (scale_at(row) * P.factor)";
    return [
      ...kernels,
      {
        key: `${reader.key}${scaled === undefined ? "" : "r"}`,
        over: "element",
        count: sizeOf(y.shape),
        bindings: [
          { name: "ids", view: ids, access: "read" },
          ...reader.bindings,
          ...(scaled === undefined ? [] : [{ name: "scale", view: scaled.scale, access: "read" as const }]),
          { name: "y", view: y, access: "write" },
        ],
        params: [
          ["rows", "u32", layout.shape[0]],
          ["columns", "u32", layout.shape[1]],
          ["factor", "f32", scaled?.factor ?? 1],
          ...(reader.params ?? []),
        ],
        declare: () => reader.declare(),
        main: () => `let row = min(u32(max(ids_at(i / P.columns), ${ids.dtype}(0))), P.rows - 1u);
  y_put(i, w_at(row * P.columns + i % P.columns)${scale});`,
      },
    ];
  },

  gradient: "none: packed weights are not trained",
};

/**
 * The rows of a packed table that `ids` name, as `embedding`, decoded on the way.
 *
 * @param weight - `[vocabulary, features]` in few bits
 * @param ids - `[...]`, i32 or u32, in [0, vocabulary): checked on the CPU device only, a GPU takes the nearest row
 * @returns `[..., features]`, f32
 */
export function packedEmbedding({ layout, parts }: PackedMatrix, ids: Tensor): Tensor {
  return scope(() => {
    const [rows] = apply(packedEmbeddingOp, [ids, ...parts], { layout });
    return inShape(rows, [...ids.shape, layout.shape[1]]);
  });
}
