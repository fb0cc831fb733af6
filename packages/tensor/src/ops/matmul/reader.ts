import type { View } from "../../device/device.ts";
import type { Storage } from "../../device/storage.ts";
import { isHalf } from "../../dtype.ts";
import type { Binding, Param } from "../kernel.ts";

/**
 * How WGSL reads a stored matrix. The tile kernels know nothing of how its values are kept: they ask for values by their number `e`,
 * counted row by row from the matrix's first, and get f32.
 *
 * A packed format plugs in as a `Stored`, given to `matmulKernel` in place of a view: its reader binds what it needs under names
 * that begin with `name` (codes, scales, ...; two operands must not clash), says with `four` that values come four at once, and
 * declares `NAME_four(e)`; each kind of tiles then runs on it. Lines must be multiples of 4 long for that, so blocks
 * along a line of 32, 64 or 256 values fit: four values never lie in two blocks. A table that is the same for all values may be
 * kept in the lanes of a subgroup (`lanes` tells how many there are) by statements in `setup`.
 */
export interface Reader {
  /** Names what changes the code; part of the key of pipelines. */
  readonly key: string;
  readonly bindings: readonly Binding[];
  readonly params?: readonly Param[];
  /** True: the reader declares `NAME_four`, and is asked for multiples of 4 only. False: `NAME_at`, for any value. */
  readonly four: boolean;
  /** `fn NAME_four(e: u32) -> vec4f`, values e to e + 3; or `fn NAME_at(e: u32) -> f32`. */
  declare(): string;
  /** Statements at the start of main, before any read. */
  readonly setup?: string;
}

/** A matrix (or a batch of them, one after another) in some format. */
export interface Stored {
  /**
   * @param name - the operand's name, which everything that is declared must begin with
   * @param aligned - whether every line begins at a multiple of 4, so that values may be read four at once
   * @param lanes - lanes of a subgroup, where the kernel may use its operations; 0 where it may not
   */
  read(name: string, aligned: boolean, lanes: number): Reader;
  /**
   * The buffers that it lies in, and how many values of its format lie before it in them. Matrices of one format in the same buffers
   * can take part in one dispatch: the reader of the one that lies first reads all. Without it a matrix is alone.
   */
  readonly place?: { readonly format: string; readonly buffers: readonly Storage[]; readonly start: number };
}

/** What a product multiplies: a tensor's values as they are, or a packed matrix. */
export type Source = View | Stored;

/**
 * The reader of f32, f16 and bf16: one load for four values (of 16 bytes, or of 8 widened) where they begin at a
 * multiple of four, else one for each through the accessor.
 */
export function dense(view: View): Stored {
  return {
    read(name, aligned) {
      const four = aligned && view.offset % 4 === 0 && (view.dtype === "f32" || isHalf(view.dtype));
      return {
        key: four ? "4" : "1",
        bindings: [{ name, view, access: "read", as: four ? "vec4" : undefined }],
        four,
        declare: () => (four ? `fn ${name}_four(e: u32) -> vec4f { return ${name}_at4(e / 4u); }` : ""),
      };
    },
    place: { format: view.dtype, buffers: [view.storage], start: view.offset },
  };
}

export const isPacked = (source: Source): source is Stored => "read" in source;

export const storedOf = (source: Source): Stored => (isPacked(source) ? source : dense(source));
