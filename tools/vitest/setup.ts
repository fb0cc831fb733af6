import { configureGlobal } from "fast-check";
import { findAdapter } from "../../packages/tensor/src/device/node/adapters.ts";

/** Runs before each test file. Settings come from the environment, so that a run can be repeated exactly. */
configureGlobal({
  seed: Number(process.env.GRAFT_FC_SEED),
  numRuns: Number(process.env.GRAFT_FC_RUNS ?? 100),
});

// A machine without an adapter must fail, not skip: a skipped kernel test looks like a passed one. SwiftShader
// comes with the dev dependencies, so this asks nothing of the machine. The mark is per worker process.
process.env.GRAFT_FOUND_ADAPTER ??= (await findAdapter({ allowSoftware: true })).name;
