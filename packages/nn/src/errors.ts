/** A model file that is broken, unsafe or not supported. The message starts with the function that the user called. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}
