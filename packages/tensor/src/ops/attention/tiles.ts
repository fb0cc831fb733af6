import type { View } from "../../device/device.ts";
import type { GpuInfo, Kernel } from "../kernel.ts";
import { broadcastEngine } from "./broadcast.wgsl.ts";
import type { Engine } from "./engine.ts";
import {
  forwardKernel,
  keyGradientKernel,
  type Operands,
  queryGradientKernel,
  type Saved,
  statsKernel,
} from "./flash.wgsl.ts";
import { plainForwardKernel, plainGradientKernels } from "./plain.wgsl.ts";
import type { AttentionAttrs, AttentionPlan } from "./plan.ts";
import { workgroupEngine } from "./workgroup.wgsl.ts";

/** The ways to compute attention on a GPU device; "plain" is the readable one that takes everything everywhere. */
export type AttentionClass = "broadcast" | "workgroup" | "plain";

interface Tile {
  readonly name: AttentionClass;
  takes(plan: AttentionPlan, gpu: GpuInfo): boolean;
  suits(plan: AttentionPlan, gpu: GpuInfo): boolean;
  /** Without it the plain kernels are meant. */
  engine?(plan: AttentionPlan, gpu: GpuInfo, pass: Pass): Engine;
}

type Pass = "forward" | "backward";

/** Below so many values of q attention costs no more than its dispatch, and is not worth pipelines of its own. */
const SMALL = { tokens: 4096, token: 512 };

const isTiled = ({ headDim, valueDim }: AttentionPlan): boolean =>
  headDim === valueDim && headDim % 4 === 0 && headDim > 0 && headDim <= 128;

// Not by the number of keys: a cache that grows needs no other pipeline.
const isLarge = ({ batch, heads, queries, headDim }: AttentionPlan): boolean =>
  batch * heads * queries * headDim >= (queries === 1 ? SMALL.token : SMALL.tokens);

/** Which class an adapter and a shape get: the first that suits. */
const table: readonly Tile[] = [
  {
    name: "broadcast",
    takes: (plan, { subgroups, subgroupSize }) =>
      isTiled(plan) && subgroups && [4, 8, 16].includes(subgroupSize),
    suits: (plan, { software }) => software && isLarge(plan),
    engine: ({ queries, headDim }, { subgroupSize }, pass) => {
      const parts = Math.ceil(headDim / 4 / subgroupSize);
      // As many rows as keep the sums of a lane at 128 (256 for dk and dv): more compile for minutes.
      const rows = Math.max(4, Math.min(16, Math.floor(32 / parts)));
      return broadcastEngine(subgroupSize, headDim, pass === "forward" && queries === 1 ? 1 : rows);
    },
  },
  {
    name: "workgroup",
    takes: isTiled,
    suits: (plan, { software }) => !software && isLarge(plan),
    engine: ({ headDim }) => workgroupEngine(headDim),
  },
  { name: "plain", takes: () => true, suits: () => true },
];

/** The classes that can compute attention on an adapter, the chosen one first. */
export function attentionClasses(plan: AttentionPlan, gpu: GpuInfo): AttentionClass[] {
  const able = table.filter((tile) => tile.takes(plan, gpu));
  const chosen = able.filter((tile) => tile.suits(plan, gpu));
  return [...new Set([...chosen, ...able])].map(({ name }) => name);
}

function tileOf(plan: AttentionPlan, gpu: GpuInfo, forced: AttentionClass | undefined): Tile {
  const able = attentionClasses(plan, gpu);
  const name = forced !== undefined && able.includes(forced) ? forced : able[0];
  return table.find((tile) => tile.name === name) ?? table[table.length - 1];
}

/** The kernel of y and lse, by the class that the table chooses, or by `forced` where that can compute it. */
export function attentionKernels(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  y: View,
  lse: View,
  gpu: GpuInfo,
  forced?: AttentionClass,
): readonly Kernel[] {
  const engine = tileOf(plan, gpu, forced).engine?.(plan, gpu, "forward");
  return [
    engine === undefined
      ? plainForwardKernel(plan, attrs, operands, y, lse)
      : forwardKernel(plan, attrs, operands, y, lse, engine),
  ];
}

/** The kernels of dq, dk and dv: two, and with segments three. */
export function attentionGradientKernels(
  plan: AttentionPlan,
  attrs: AttentionAttrs,
  operands: Operands,
  saved: Saved,
  [dq, dk, dv]: readonly View[],
  gpu: GpuInfo,
  forced?: AttentionClass,
): readonly Kernel[] {
  const { engine } = tileOf(plan, gpu, forced);
  const stats = gpu.scratch("f32", 2 * plan.batch * plan.heads * plan.queries);
  if (engine === undefined) return plainGradientKernels(plan, attrs, operands, saved, stats, [dq, dk, dv]);
  return [
    ...(operands.segments === undefined ? [] : [statsKernel(plan, saved, stats)]),
    queryGradientKernel(plan, attrs, operands, saved, dq, stats, engine(plan, gpu, "backward")),
    keyGradientKernel(plan, attrs, operands, saved.dy, stats, dk, dv, engine(plan, gpu, "backward")),
  ];
}
