export type { ErrorCase, OpCases, Sample, SampleInput } from "./cases.ts";
