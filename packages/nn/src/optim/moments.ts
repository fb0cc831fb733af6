import { keep, reshape, scope, slice, type Tensor, zeros } from "@graft/tensor";

/** The default limit of what WebGPU binds at once, 128 MiB: a larger storage could not be given to a kernel everywhere. */
const MOST_BYTES = 128 * 2 ** 20;

/** Each begins at a multiple of so many values, so that kernels may read four at once. */
const ALIGNED = 4;

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
      let size = 0;
      const starts = piece.map((parameter) => {
        const start = size;
        size += Math.ceil(parameter.size / ALIGNED) * ALIGNED;
        return start;
      });
      const flat = zeros(device, [size], { dtype });
      return piece.map((parameter, k) =>
        reshape(slice(flat, 0, starts[k], starts[k] + parameter.size), parameter.shape),
      );
    });
    for (const view of views) moments.push(keep(view));
    from = to;
  }
  return moments;
}
