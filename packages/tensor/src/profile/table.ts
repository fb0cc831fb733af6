import type { Profile } from "./profile.ts";
import type { ProfileRow } from "./record.ts";

const headings = ["op", "kernel", "calls", "ms", "%", "GFLOP/s", "GB/s", "of best"] as const;
/** Characters of a kernel's key that are shown. */
const KEY = 32;

/** A profile as text: what was measured and how, a line for each kernel, and the sums. */
export function tableOf(profile: Profile): string {
  const lines = [headings as readonly string[], ...profile.rows.map((row) => cells(profile, row))];
  const widths = headings.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const table = lines.map((line) =>
    line
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join("  ")
      .trimEnd(),
  );
  return [...heads(profile), "", ...table, "", sums(profile)].join("\n");
}

function heads({ device, timing, roofline }: Profile): string[] {
  const how = {
    timestamps: "each kernel between two timestamps of the GPU",
    clock: "each op by the clock",
    whole: "the whole only, since the device has no usable timestamps",
  }[timing];
  const lines = [`${device}: ${how}`];
  if (roofline !== undefined)
    lines.push(
      `best seen: ${short(roofline.flops / 1e9)} GFLOP/s (matmul), ${short(roofline.bytes / 1e9)} GB/s (copy)`,
    );
  return lines;
}

function cells(profile: Profile, row: ProfileRow): string[] {
  const { op, key, dispatches, ms, bytes, flops } = row;
  const share = profile.share(row);
  const perSecond = (amount: number): string =>
    ms === undefined || ms === 0 ? "" : short(amount / ms / 1e6);
  const total = profile.ms ?? 0;
  return [
    op,
    key.length > KEY ? `${key.slice(0, KEY - 1)}…` : key,
    String(dispatches),
    ms === undefined ? "" : ms.toFixed(3),
    ms === undefined || total === 0 ? "" : ((100 * ms) / total).toFixed(1),
    flops === 0 ? "" : perSecond(flops),
    perSecond(bytes),
    share === undefined ? "" : `${(100 * share).toFixed(0)} %`,
  ];
}

function sums({ ms, dispatches, submits, bytes, flops, wallMs }: Profile): string {
  const kernels = ms === undefined ? "" : `${ms.toFixed(3)} ms in kernels, `;
  return `${kernels}${wallMs.toFixed(3)} ms in all; ${dispatches} dispatches in ${submits} submits, ${short(flops / 1e9)} GFLOP, ${short(bytes / 1e6)} MB bound`;
}

/** Three digits. */
function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
