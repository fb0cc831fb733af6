export {
  binarySamples,
  broadcastable,
  type SampleOptions,
  type ShapeLimits,
  samplesOver,
  seeds,
  shapes,
  sides,
  unarySamples,
} from "./arbitraries.ts";
export type { ErrorCase, OpCases, Sample, SampleInput } from "./cases.ts";
export { checkErrors } from "./checkErrors.ts";
export { assertSameMemory, checkForward } from "./checkForward.ts";
export { checkGradient } from "./checkGradient.ts";
export { checkNoGradient } from "./checkNoGradient.ts";
export { assertWithin, type Comparison, FLOOR, HALF_ULP } from "./compare.ts";
export { type TestDevices, testDevices } from "./devices.ts";
export { type GradcheckOptions, gradcheck } from "./gradcheck.ts";
export { viewOf } from "./materialize.ts";
export { overSamples } from "./overSamples.ts";
export { inputOf, randomOf, shuffled, type ValueKind, valuesOf } from "./values.ts";
