import type { Device } from "../device/device.ts";
import { openScope } from "../scope.ts";
import type { OpCases } from "./cases.ts";
import { assertSameMemory } from "./checkForward.ts";

/** Every declared error is thrown with the declared words, and leaves nothing behind. */
export async function checkErrors(cases: OpCases, device: Device): Promise<void> {
  for (const { call, message } of cases.errors) {
    const start = device.memory();
    const owner = openScope();
    try {
      const said = await wordsOf(() => call(device));
      if (said === undefined)
        throw new Error(`${cases.name} on ${device.name}: expected the error "${message}", got none.`);
      if (said !== message)
        throw new Error(`${cases.name} on ${device.name}: expected the error\n  ${message}\ngot\n  ${said}`);
    } finally {
      owner[Symbol.dispose]();
    }
    assertSameMemory(device, start, `after the error "${message}"`);
  }
}

async function wordsOf(call: () => unknown): Promise<string | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
