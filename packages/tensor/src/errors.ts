/** A shape that an operation cannot work with. The message starts with the function that the user called. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** An element type that an operation cannot work with. */
export class DTypeError extends Error {
  override readonly name = "DTypeError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** A missing, lost or wrong device, or a tensor of another device. */
export class DeviceError extends Error {
  override readonly name: string = "DeviceError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** A GPU that went away: a driver reset, a removed card, a closed device. All that was pending fails with it, and every later call. */
export class DeviceLostError extends DeviceError {
  override readonly name = "DeviceLostError";
  /** What the driver, browser or program said. */
  readonly reason: string;
  constructor(reason: string) {
    super("webgpu", `the device was lost (${reason}). Open another one and go on from the last snapshot.`);
    this.reason = reason;
  }
}

/** More memory was asked for than the device or its budget has. */
export class OutOfMemoryError extends DeviceError {
  override readonly name = "OutOfMemoryError";
}

/** Differentiation that cannot be done: nothing recorded, a tensor changed in place, an op without a gradient. */
export class GradError extends Error {
  override readonly name = "GradError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** A value (not a shape or type) that an operation cannot work with. */
export class ValueError extends Error {
  override readonly name = "ValueError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** A step that cannot be compiled, or a value that was taken out of one. */
export class CompileError extends Error {
  override readonly name = "CompileError";
  constructor(who: string, message: string) {
    super(`${who}: ${message}`);
  }
}

/** A broken invariant of Graft itself. */
export function internal(message: string): Error {
  return new Error(`internal: ${message}. Please report this with the stack below.`);
}
