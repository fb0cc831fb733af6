import type { View } from "../../device/device.ts";
import type { GpuInfo, Kernel } from "../kernel.ts";
import { broadcastKernel } from "./broadcast.wgsl.ts";
import type { MatmulPlan } from "./plan.ts";
import type { Source } from "./reader.ts";
import { isSplittable, splitKernel } from "./split.wgsl.ts";
import { tiledKernel } from "./tiled.wgsl.ts";
import { workgroupKernel } from "./workgroup.wgsl.ts";

/** The ways to compute a product on a GPU device; "plain" is the readable one that takes everything everywhere. */
export type TileClass = "plain" | "broadcast" | "workgroup" | "split";

interface Tile {
  readonly name: TileClass;
  /** Whether the kernel runs there at all. */
  takes(plan: MatmulPlan, gpu: GpuInfo): boolean;
  /** Whether it is the one to choose, where the ones before it were not. */
  suits(plan: MatmulPlan, gpu: GpuInfo): boolean;
  kernel(plan: MatmulPlan, a: Source, b: Source, y: View, gpu: GpuInfo): Kernel;
}

/** Below so many multiplications a product costs no more than its dispatch, and is not worth a pipeline of its own. */
const SMALL = 2 ** 15;

/** Which tile class an adapter and a shape get: the first that suits. Measurements: docs/decisions/0005-matmul-tiles.md. */
const table: readonly Tile[] = [
  {
    name: "broadcast",
    takes: (_, { subgroups, subgroupSize }) => subgroups && [4, 8, 16].includes(subgroupSize),
    suits: ({ m, n, k }, { software }) => software && m * n * k >= SMALL,
    kernel: (plan, a, b, y, { subgroupSize }) => broadcastKernel(plan, a, b, y, subgroupSize),
  },
  {
    name: "split",
    takes: isSplittable,
    suits: ({ m, n, k }, { software }) => !software && m * n * k >= SMALL,
    kernel: splitKernel,
  },
  {
    name: "workgroup",
    takes: () => true,
    suits: ({ m, n, k }, { software }) => !software && m * n * k >= SMALL,
    kernel: workgroupKernel,
  },
  {
    name: "plain",
    takes: () => true,
    suits: () => true,
    kernel: tiledKernel,
  },
];

/** The classes that can compute a product on an adapter, the chosen one first. */
export function tilesFor(plan: MatmulPlan, gpu: GpuInfo): TileClass[] {
  const able = table.filter((tile) => tile.takes(plan, gpu));
  const chosen = able.filter((tile) => tile.suits(plan, gpu));
  return [...new Set([...chosen, ...able])].map(({ name }) => name);
}

/** The kernel of a product of tensors or packed matrices, by the class that the table chooses, or by `forced` where that can compute it. */
export function matmulKernel(
  plan: MatmulPlan,
  a: Source,
  b: Source,
  y: View,
  gpu: GpuInfo,
  forced?: TileClass,
): Kernel {
  const able = tilesFor(plan, gpu);
  const name = forced !== undefined && able.includes(forced) ? forced : able[0];
  const tile = table.find((each) => each.name === name) ?? table[table.length - 1];
  return tile.kernel(plan, a, b, y, gpu);
}
