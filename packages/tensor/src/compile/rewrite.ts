import type { Storage } from "../device/storage.ts";
import { fuseAccumulation } from "../ops/accumulateFuse.ts";
import { fuseProducts } from "../ops/matmul/fuse.ts";
import { fuseAddNorms } from "../ops/normalizeAddFuse.ts";
import { fuseNormGradients } from "../ops/normalizeFuse.ts";
import { fusePointwise } from "../ops/pointwise/fuse.ts";
import type { Pass } from "./links.ts";
import type { Run } from "./trace.ts";

/** The passes that make fewer and larger runs of a step, in order. Each stands beside the op that it makes. */
const passes: readonly Pass[] = [
  fuseAccumulation,
  fuseNormGradients,
  fuseProducts,
  fuseAddNorms, // of sums that no product took
  fusePointwise,
];

export function rewrite(runs: readonly Run[], leaving: ReadonlySet<Storage>): readonly Run[] {
  return passes.reduce((list, pass) => pass(list, leaving), runs);
}
