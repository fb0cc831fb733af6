export { bf16 } from "./bf16.ts";
export { f16 } from "./f16.ts";
export { f32 } from "./f32.ts";
export { q4_0 } from "./q4_0.ts";
export { q4_1 } from "./q4_1.ts";
export { q8_0 } from "./q8_0.ts";
