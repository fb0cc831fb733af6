export { CheckpointError } from "./errors.ts";
