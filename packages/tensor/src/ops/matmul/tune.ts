import { full } from "../../create.ts";
import type { GpuDevice } from "../../device/webgpu/gpuDevice.ts";
import { ValueError } from "../../errors.ts";
import { keep, scope } from "../../scope.ts";
import type { Tensor } from "../../tensor.ts";
import { apply } from "../op.ts";
import { matmulBy } from "./matmul.ts";
import { type MatmulAttrs, planMatmul } from "./plan.ts";
import { rowsOf, type TileChoice, type TileClass, type TileRecord } from "./record.ts";
import { extentOf, tilesFor } from "./tiles.ts";

export interface TuneOptions {
  /** Columns of the products that are measured. Default 1024. */
  columns?: number;
  /** Length of their sums. Default 1024. */
  steps?: number;
  /** Times that each class is measured; the median counts. Default 7. */
  rounds?: number;
  /** What one measurement takes at least, in milliseconds: a short product runs several times. Default 10. */
  sampleMs?: number;
}

/** Forward, gradient by the input, gradient by the weight. */
const layouts: readonly MatmulAttrs[] = [
  { transposeA: false, transposeB: true },
  { transposeA: false, transposeB: false },
  { transposeA: true, transposeB: false },
];
/** One of each kind of rows that a record tells apart. */
const rowCounts = [1, 8, 128];
/** A class replaces the table's where its time is less than this share of it: smaller differences come and go with the measurement. */
const CLEARLY = 0.95;
/** Runs of one measurement, where the clock shows nothing. */
const MOST_RUNS = 1000;

/**
 * Measures which kernels are fastest for matrix products in f32 on this machine. It changes nothing: keep the record (it is
 * plain data, for JSON) and open the device with it the next time, `openWebGpu({ tiles: record })`. The classes of kernels round
 * differently, so that a run has the same bits only with the same record, or without any; `device.info.tiles` tells which one is in
 * use. Compiles every class that the device can run, which takes seconds.
 *
 * @param device - opened with or without a record; what it has makes no difference
 * @returns a choice for each of NT, NN and TN products with 1 (not TN), up to 8, and more rows: the shipped table's, or one that was at
 *   least 5 % faster
 */
export async function tuneTiles(device: GpuDevice, options: TuneOptions = {}): Promise<TileRecord> {
  const { columns = 1024, steps = 1024, rounds = 7, sampleMs = 10 } = options;
  for (const [name, value] of Object.entries({ columns, steps, rounds }))
    if (!Number.isInteger(value) || value < 1)
      throw new ValueError("tuneTiles", `${name} must be a positive integer, got ${value}.`);
  if (!(sampleMs >= 0))
    throw new ValueError("tuneTiles", `sampleMs must be a number of milliseconds, got ${sampleMs}.`);
  const shipped = { ...device.info, tiles: undefined };
  const choices: TileChoice[] = [];
  for (const layout of layouts) {
    for (const m of rowCounts) {
      if (layout.transposeA && m === 1) continue; // a column lies in memory as a row does
      const a = keep(full(device, layout.transposeA ? [steps, m] : [m, steps], 0.5));
      const b = keep(full(device, layout.transposeB ? [columns, steps] : [steps, columns], 0.5));
      try {
        const classes = tilesFor(extentOf(planMatmul(a, b, layout)), shipped);
        const times = await timesOf(device, classes, [a, b], layout, rounds, sampleMs);
        choices.push({
          a: layout.transposeA ? "lines" : "k",
          b: layout.transposeB ? "k" : "lines",
          rows: rowsOf(m),
          tile: best(classes, times),
        });
      } finally {
        a.dispose();
        b.dispose();
      }
    }
  }
  return { adapter: device.name, choices };
}

/** The fastest class, or the first one, the table's, where that is about as fast. */
export function best(classes: readonly TileClass[], times: readonly number[]): TileClass {
  const least = Math.min(...times);
  return least < CLEARLY * times[0] ? classes[times.indexOf(least)] : classes[0];
}

/** Median milliseconds of a product by each class, measured in turn. */
async function timesOf(
  device: GpuDevice,
  classes: readonly TileClass[],
  operands: readonly [Tensor, Tensor],
  layout: MatmulAttrs,
  rounds: number,
  sampleMs: number,
): Promise<number[]> {
  const sample = async (tile: TileClass, times: number): Promise<number> => {
    const op = matmulBy(tile);
    const start = performance.now();
    for (let run = 0; run < times; run++) scope(() => void apply(op, operands, layout));
    await device.finish();
    return (performance.now() - start) / times;
  };
  await device.finish();
  const runs: number[] = [];
  for (const tile of classes) {
    await sample(tile, 1); // compiles
    const once = await sample(tile, 1);
    runs.push(Math.max(1, Math.min(MOST_RUNS, Math.ceil(sampleMs / Math.max(once, 1e-3)))));
  }
  const all: number[][] = classes.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, tile] of classes.entries()) all[i].push(await sample(tile, runs[i]));
  return all.map((times) => times.sort((x, y) => x - y)[Math.floor(times.length / 2)]);
}
