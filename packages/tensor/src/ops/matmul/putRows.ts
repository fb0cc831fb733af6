import type { Frame } from "./frame.ts";
import { range } from "./operand.ts";

/**
 * Writes a lane's sums `yR_0` to `yR_3` of neighbouring rows. By a loop over a copy: the code that writes a row is long, and to
 * compile it once for each row takes longer than all the rest.
 */
export function putRows(frame: Frame, rows: number, first: string, column: string, step: number): string {
  const vectors = range(rows).map((r) => `vec4f(y${r}_0, y${r}_1, y${r}_2, y${r}_3)`);
  return `var sums = array<vec4f, ${rows}>(${vectors.join(", ")});
  let row0 = ${first};
  for (var r = 0u; r < ${rows}u && row0 + r < m; r++) {
    let s = sums[r];
    ${frame.put("row0 + r", column, step, ["s.x", "s.y", "s.z", "s.w"])}
  }`;
}
