import type { View } from "../../device/device.ts";
import { DTypeError, ShapeError } from "../../errors.ts";
import { type PackedLayout, packedCount } from "../../formats/packed/packed.ts";
import { show, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import type { Binding, GpuInfo, Kernel, Param } from "../kernel.ts";
import type { Stored } from "../matmul/reader.ts";
import type { Meta } from "../op.ts";

/** A matrix in few bits on a device. Its parts take no gradient. */
export interface PackedMatrix {
  readonly layout: PackedLayout;
  /** The arrays that `layout.format.parts(layout)` lists, in its order. */
  readonly parts: readonly Tensor[];
}

/** Throws where the parts are not those of the layout. */
export function checkParts(who: string, { format, ...rest }: PackedLayout, parts: readonly Meta[]): void {
  const expected = format.parts({ format, ...rest });
  if (parts.length !== expected.length)
    throw new ShapeError(
      who,
      `${format.name} must have the parts ${expected.map(({ name }) => name).join(", ")}, got ${parts.length} tensors.`,
    );
  for (const [i, { name, dtype, size }] of expected.entries()) {
    // In float64 scales are f64 too.
    const fits = parts[i].dtype === dtype || (dtype === "f32" && parts[i].dtype === "f64");
    if (!fits)
      throw new DTypeError(who, `${name} of ${format.name} must be ${dtype}, got ${parts[i].dtype}.`);
    if (sizeOf(parts[i].shape) !== size)
      throw new ShapeError(
        who,
        `${name} of ${format.name} must have ${size} values for ${show(rest.shape)}, got ${show(parts[i].shape)}.`,
      );
  }
}

/** What a kernel binds and declares to read the values of a packed matrix, those of a row without the row's scale. */
export interface BoundMatrix {
  readonly kernels: readonly Kernel[];
  readonly stored: Stored;
}

/** Makes parts readable by kernels; `kernels` must run first. */
export function bindMatrix(layout: PackedLayout, parts: readonly View[], gpu: GpuInfo): BoundMatrix {
  const { format, blockSize } = layout;
  const prepared = format.prepare?.(layout, parts, gpu) ?? {
    kernels: [],
    parts: format
      .parts(layout)
      .map(({ name }, i) => [name, parts[i]] as const)
      .filter(([name]) => name !== format.rowScale?.part),
  };
  const stored: Stored = {
    place: placeOf(layout, prepared.parts),
    read(name, aligned, lanesThere) {
      // Of a product that changed sides (few rows of W) only some lanes may read, so that none can ask another.
      const lanes = name.startsWith("a") ? 0 : lanesThere;
      const { declare, setup } = format.wgsl(name, lanes);
      return {
        key: `${format.name}${aligned ? 4 : 1}${lanes > 0 ? `s${lanes}` : ""}`,
        bindings: prepared.parts.map(
          ([part, view]): Binding => ({ name: `${name}_${part}`, view, access: "read" }),
        ),
        params: blockSize > 0 ? [[`${name}_shift`, "u32", Math.log2(blockSize)] satisfies Param] : [],
        four: aligned,
        declare: () => declare,
        setup,
      };
    },
  };
  return { kernels: prepared.kernels, stored };
}

/**
 * Where a matrix lies in its buffers, counted in its values; undefined where its parts do not begin at the same one, as those of
 * neighbours in joined buffers do if none has a gap behind it.
 */
function placeOf(layout: PackedLayout, parts: readonly (readonly [string, View])[]): Stored["place"] {
  const { format, blockSize } = layout;
  const starts = parts.map(([, { shape, offset }]) => (offset * packedCount(layout)) / sizeOf(shape));
  const [start] = starts;
  if (!Number.isSafeInteger(start) || starts.some((other) => other !== start)) return undefined;
  return { format: `${format.name}/${blockSize}`, buffers: parts.map(([, { storage }]) => storage), start };
}

/** The part with the scales of rows, where the format has one. */
export function rowScaleOf<T>(
  { format, ...rest }: PackedLayout,
  parts: readonly T[],
): { readonly scale: T; readonly factor: number } | undefined {
  const { rowScale } = format;
  if (rowScale === undefined) return undefined;
  const at = format.parts({ format, ...rest }).findIndex(({ name }) => name === rowScale.part);
  return { scale: parts[at], factor: rowScale.factor };
}
