import type { View } from "../../device/device.ts";
import { sizeOf } from "../../shape.ts";
import type { GpuInfo, Kernel } from "../kernel.ts";
import { broadcastKernel } from "./broadcast.wgsl.ts";
import { batchFrame, type Form, type Frame } from "./frame.ts";
import type { Along } from "./operand.ts";
import type { MatmulPlan } from "./plan.ts";
import { isPacked, type Source } from "./reader.ts";
import { choiceOf, type TileClass } from "./record.ts";
import { SPLIT_COLUMNS, splitKernel } from "./split.wgsl.ts";
import { PLAIN_SIDE, tiledKernel } from "./tiled.wgsl.ts";
import { workgroupKernel } from "./workgroup.wgsl.ts";

export type { TileClass } from "./record.ts";

/** What the choice of tiles asks of a product. */
export interface Extent {
  readonly m: number;
  readonly n: number;
  /** All steps, where several products are added up. */
  readonly k: number;
  /** How many there are of it. */
  readonly matrices: number;
  readonly alongA: Along;
  readonly alongB: Along;
  /** Whether an operand is decoded on the way. */
  readonly packed: boolean;
}

export interface Tile {
  readonly name: TileClass;
  /** Whether the kernel runs there at all. */
  takes(extent: Extent, gpu: GpuInfo): boolean;
  /** Whether it is the one to choose, where the ones before it were not. */
  suits(work: number, gpu: GpuInfo): boolean;
  /** Whether a and b should change places. */
  swaps(extent: Extent): boolean;
  /** Rows of the tiles of a product: products of one dispatch have the same. */
  rows(extent: Extent): number;
  /** The size of the tiles for products with the same `rows`. */
  form(extents: readonly Extent[], gpu: GpuInfo): Form;
  kernel(frame: Frame, form: Form): Kernel;
}

/** Below so much work a product costs no more than its dispatch, and is not worth a pipeline of its own. */
const SMALL = 2 ** 15;
/** Where fewer large tiles than this would leave a GPU idle, four times as many small ones are made. */
const FEW_TILES = 64;
/** Up to so many columns, of more rows than these, are better made as rows: as in the products with the factors of a LoRA. */
const THIN = { columns: 16, rows: 8 };

const isThin = ({ m, n }: Extent): boolean => n <= THIN.columns && m > THIN.rows;

/**
 * Rows of an a that is not transposed, and the inner size of one that is, are often as many as a text has tokens. What a class is
 * chosen by must not depend on them beyond 16, or else a text of another length would need other pipelines.
 */
const isRows = ({ alongA }: Extent): boolean => alongA === "k";

/** Multiplications with 16 rows (or steps of an a that is transposed). */
export const workOf = (extent: Extent): number => 16 * extent.n * (isRows(extent) ? extent.k : extent.m);

/** Large tiles, with 256 rows where there may be any number. */
const tilesOf = (extent: Extent): number =>
  Math.ceil((isRows(extent) ? 256 : extent.m) / 64) * Math.ceil(extent.n / 64) * extent.matrices;

/** Which tile class an adapter and a shape get: the first that suits. Measurements: docs/decisions/0005-matmul-tiles.md. */
const table: readonly Tile[] = [
  {
    name: "broadcast",
    takes: (_, { subgroups, subgroupSize }) => subgroups && [4, 8, 16].includes(subgroupSize),
    suits: (work, { software }) => software && work >= SMALL,
    swaps: isThin,
    // With a decoder 32 rows take seconds to compile, and gain little.
    rows: ({ m, packed }) => [1, 8, 16].find((rows) => m <= rows) ?? (packed ? 16 : 32),
    form([extent], { subgroupSize }) {
      return { rows: this.rows(extent), columns: 4 * subgroupSize, lanes: subgroupSize };
    },
    kernel: broadcastKernel,
  },
  {
    name: "split",
    takes: (extent) =>
      (isThin(extent) ? extent.n : extent.m) <= 8 && extent.alongA === "k" && extent.alongB === "k",
    suits: (work, { software }) => !software && work >= SMALL,
    swaps: isThin,
    rows: ({ m }) => [1, 2, 4].find((rows) => m <= rows) ?? 8,
    form([extent]) {
      return { rows: this.rows(extent), columns: SPLIT_COLUMNS, lanes: 0 };
    },
    kernel: splitKernel,
  },
  {
    name: "workgroup",
    takes: () => true,
    suits: (work, { software }) => !software && work >= SMALL,
    swaps: () => false,
    rows: () => 0,
    form(extents) {
      const tile = extents.reduce((sum, extent) => sum + tilesOf(extent), 0) < FEW_TILES ? 32 : 64;
      return { rows: tile, columns: tile, lanes: 0 };
    },
    kernel: workgroupKernel,
  },
  {
    name: "plain",
    takes: () => true,
    suits: () => true,
    swaps: () => false,
    rows: () => 0,
    form(extents) {
      const m = Math.max(...extents.map((extent) => extent.m));
      const n = Math.max(...extents.map((extent) => extent.n));
      return {
        rows: (m > 8 ? 8 : 1) * PLAIN_SIDE,
        columns: (n > 16 ? 4 : 1) * PLAIN_SIDE,
        lanes: 0,
        single: true,
      };
    },
    kernel: tiledKernel,
  },
];

/**
 * The classes that can compute a product on an adapter, the chosen one first: what the device's record says, else what the table says. Small
 * products are the table's alone. `work`: of its whole dispatch.
 */
export function tilesFor(extent: Extent, gpu: GpuInfo, work = workOf(extent)): TileClass[] {
  const able = table.filter((tile) => tile.takes(extent, gpu));
  const measured = work < SMALL ? undefined : choiceOf(gpu.tiles, extent);
  const recorded = able.filter(({ name }) => name === measured);
  const chosen = able.filter((tile) => tile.suits(work, gpu));
  return [...new Set([...recorded, ...chosen, ...able])].map(({ name }) => name);
}

/** The tiles that the record or the table chooses, or `forced` where those can compute the product. */
export function tileFor(extent: Extent, gpu: GpuInfo, forced?: TileClass, work?: number): Tile {
  const able = tilesFor(extent, gpu, work);
  const name = forced !== undefined && able.includes(forced) ? forced : able[0];
  return table.find((each) => each.name === name) ?? table[table.length - 1];
}

/** A product as the choice of tiles sees it. */
export function extentOf({ m, n, k, batch, aCol, bRow }: MatmulPlan, packed = false): Extent {
  return {
    m,
    n,
    k,
    matrices: sizeOf(batch),
    alongA: aCol === 1 ? "k" : "lines",
    alongB: bRow === 1 ? "k" : "lines",
    packed,
  };
}

/** yᵀ = bᵀ·aᵀ: the same product with rows for columns. */
const swappedPlan = (plan: MatmulPlan): MatmulPlan => ({
  ...plan,
  m: plan.n,
  n: plan.m,
  batchStridesA: plan.batchStridesB,
  batchStridesB: plan.batchStridesA,
  aRow: plan.bCol,
  aCol: plan.bRow,
  bRow: plan.aCol,
  bCol: plan.aRow,
});

/** The kernel of a product of tensors or packed matrices, by the class that the record or the table chooses, or by `forced` where that can compute it. */
export function matmulKernel(
  plan: MatmulPlan,
  a: Source,
  b: Source,
  y: View,
  gpu: GpuInfo,
  forced?: TileClass,
): Kernel {
  const packed = isPacked(a) || isPacked(b);
  const extent = extentOf(plan, packed);
  const tile = tileFor(extent, gpu, forced);
  if (tile.swaps(extent)) {
    const swapped = swappedPlan(plan);
    const form = tile.form([extentOf(swapped, packed)], gpu);
    return tile.kernel(batchFrame(swapped, b, a, y, form, true), form);
  }
  const form = tile.form([extent], gpu);
  return tile.kernel(batchFrame(plan, a, b, y, form), form);
}
