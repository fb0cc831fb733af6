import { keep, reshape, scope, slice, type Tensor, zeros } from "@graft/tensor";

/** The default limit of what WebGPU binds at once, 128 MiB: a larger storage could not be given to a kernel everywhere. */
const MOST_BYTES = 128 * 2 ** 20;

/**
 * Zeros for each of `like`, one after the other in as few storages as a kernel can bind, so that one dispatch can change
 * the moments of many parameters. The caller disposes each.
 */
export function momentsFor(like: readonly Tensor[], mostBytes = MOST_BYTES): Tensor[] {
  const moments: Tensor[] = [];
  for (let from = 0; from < like.length; ) {
    const { device, dtype } = like[from];
    let to = from;
    let bytes = 0;
    while (to < like.length && like[to].device === device && like[to].dtype === dtype) {
      bytes += like[to].bytes;
      if (to > from && bytes > mostBytes) break;
      to++;
    }
    const piece = like.slice(from, to);
    const views = scope(() => {
      const flat = zeros(device, [piece.reduce((sum, { size }) => sum + size, 0)], { dtype });
      let at = 0;
      return piece.map(({ shape, size }) => {
        at += size;
        return reshape(slice(flat, 0, at - size, at), shape);
      });
    });
    for (const view of views) moments.push(keep(view));
    from = to;
  }
  return moments;
}
