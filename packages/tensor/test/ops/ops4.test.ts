import { testPart } from "./everyOp.ts";

await testPart(3);
