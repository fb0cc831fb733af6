import { openCpu } from "@graft/tensor";
import { openWebGpu } from "@graft/tensor/node";
import { measure } from "./harness.ts";
import { quantizedSuite } from "./suites/quantized.ts";
const which = process.argv[2] ?? "both";
const devices = [...(which !== "cpu" ? [await openWebGpu()] : []), ...(which !== "gpu" ? [openCpu()] : [])];
const filter = process.argv[3] ?? "";
const suite = { ...quantizedSuite, cases: async (d: any) => (await quantizedSuite.cases(d)).filter((c) => new RegExp(filter).test(c.name)) };
for (const r of await measure(suite as any, devices, Number(process.argv[4] ?? 5)))
  console.log(r.case.padEnd(50), r.median.toFixed(3).padStart(9), "ms", "x" + r.speedup.toFixed(2), r.gflops?.toFixed(1) ?? "");
process.exit(0);
