export { fp4 } from "./fp4.ts";
export { int4 } from "./int4.ts";
export { int4Asymmetric } from "./int4Asymmetric.ts";
export { int8 } from "./int8.ts";
export { nf4 } from "./nf4.ts";
export { q4_0 } from "./q4_0.ts";
export { q8_0 } from "./q8_0.ts";
