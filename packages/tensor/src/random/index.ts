export { Generator } from "./generator.ts";
export { foldIn, type Key, keyOf, threefry } from "./threefry.ts";
