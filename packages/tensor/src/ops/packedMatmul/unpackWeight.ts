import type { PackedLayout } from "../../formats/packed/packed.ts";
import { sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { apply, type Op } from "../op.ts";
import { unpackAll } from "./cpu.ts";
import { bindMatrix, checkParts, type PackedMatrix, rowScaleOf } from "./matrix.ts";

const unpackOp: Op<{ readonly layout: PackedLayout }> = {
  name: "unpackWeight",

  infer(parts, { layout }) {
    checkParts("unpackWeight", layout, parts);
    return [{ shape: layout.shape, dtype: parts.some(({ dtype }) => dtype === "f64") ? "f64" : "f32" }];
  },

  cpu(parts, [y], { layout }) {
    unpackAll(
      layout,
      parts.map(({ data }) => data),
      y.data,
    );
  },

  wgsl(parts, [y], { layout }, gpu) {
    const { kernels, stored } = bindMatrix(layout, parts, gpu);
    const four = layout.shape[1] % 4 === 0 && y.offset % 4 === 0;
    const reader = stored.read("w", four, 0);
    const scaled = rowScaleOf(layout, parts);
    const value = four ? "w_four(4u * i)" : "w_at(i)";
    const row = `${four ? "4u * i" : "i"} / P.columns`;
    const whole = scaled === undefined ? value : `${value} * (scale_at(${row}) * P.factor)`;
    return [
      ...kernels,
      {
        key: `${reader.key}${scaled === undefined ? "" : "r"}`,
        over: "element",
        count: sizeOf(layout.shape) / (four ? 4 : 1),
        bindings: [
          ...reader.bindings,
          ...(scaled === undefined ? [] : [{ name: "scale", view: scaled.scale, access: "read" as const }]),
          { name: "y", view: y, access: "write", as: four ? "vec4" : undefined },
        ],
        params: [
          ["columns", "u32", layout.shape[1]],
          ["factor", "f32", scaled?.factor ?? 1],
          ...(reader.params ?? []),
        ],
        declare: () => reader.declare(),
        main: () => (four ? `y_put4(i, ${whole});` : `y_put(i, ${whole});`),
      },
    ];
  },

  gradient: "none: packed weights are not trained",
};

/**
 * The values of a packed matrix, `[rows, columns]` in f32. Each is right to a few units in the last place; on the CPU
 * device to the bit of what the format says.
 */
export function unpackWeight({ layout, parts }: PackedMatrix): Tensor {
  return apply(unpackOp, parts, { layout })[0];
}
