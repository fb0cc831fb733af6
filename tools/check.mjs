// The inner loop: what `npm test` does, in the same order, with fewer samples of every property. Under two minutes.
import { node } from "./lib/run.mjs";

const runs = process.env.GRAFT_FC_RUNS ?? "15";
process.exit(node("tools/test.mjs", process.argv.slice(2), { GRAFT_FC_RUNS: runs }));
