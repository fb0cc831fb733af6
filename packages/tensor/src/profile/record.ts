/** One unit of work that was seen: a dispatch, or an op on the CPU. */
export interface Seen {
  readonly op: string;
  /** What distinguishes kernels of one op; "" for an op on the CPU. */
  readonly key: string;
  /** Of the tensors that it binds: what it may read and write, each once. */
  readonly bytes: number;
  /** Of the op, on the first of its kernels. */
  readonly flops: number;
  /** Milliseconds since the profile began; undefined where the device does not tell. */
  start?: number;
  /** Milliseconds. */
  ms?: number;
}

/** What one kind of kernel did in all. */
export interface ProfileRow {
  readonly op: string;
  readonly key: string;
  readonly dispatches: number;
  readonly bytes: number;
  readonly flops: number;
  /** Together; undefined where the device does not tell. */
  readonly ms: number | undefined;
}

/** Most that a device was seen to do. */
export interface Roofline {
  /** Floating-point operations per second, of a large matmul. */
  readonly flops: number;
  /** Bytes per second, of a large copy, read and written. */
  readonly bytes: number;
}

/** The seen work by kernel, the longest first, or in the order of first use where times are not known. */
export function rowsOf(seen: readonly Seen[]): ProfileRow[] {
  const rows = new Map<string, { -readonly [K in keyof ProfileRow]: ProfileRow[K] }>();
  for (const { op, key, bytes, flops, ms } of seen) {
    const name = `${op}|${key}`;
    const row = rows.get(name);
    if (row === undefined) rows.set(name, { op, key, dispatches: 1, bytes, flops, ms });
    else {
      row.dispatches++;
      row.bytes += bytes;
      row.flops += flops;
      row.ms = row.ms === undefined || ms === undefined ? undefined : row.ms + ms;
    }
  }
  return [...rows.values()].sort((a, b) => (b.ms ?? 0) - (a.ms ?? 0));
}

/** The least time that the work would take on the roofline, as a share of the time that it took. */
export function shareOf(
  { bytes, flops, ms }: Pick<ProfileRow, "bytes" | "flops" | "ms">,
  roofline: Roofline,
): number | undefined {
  if (ms === undefined || ms === 0) return undefined;
  return (1000 * Math.max(bytes / roofline.bytes, flops / roofline.flops)) / ms;
}
