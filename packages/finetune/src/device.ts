import { type Device, DeviceError, openCpu } from "@graft/tensor";
import { type AdapterSearch, findAdapter, openFound, searchAdapters } from "@graft/tensor/node";

/** The device that a verb computes on. */
export interface OpenedDevice extends Disposable {
  readonly device: Device;
  /** The adapter's or the machine's name, for people. */
  readonly name: string;
}

/**
 * Opens what `--device` asks for. `webgpu`: the best adapter there is, a software one too, and says which. Undefined: a
 * real GPU, else the CPU device with one line on what would be faster.
 */
export async function openDevice(
  choice: "webgpu" | "cpu" | undefined,
  notice: (line: string) => void,
): Promise<OpenedDevice> {
  if (choice === "cpu") return named(openCpu());
  if (choice === "webgpu") {
    const found = await findAdapter({ allowSoftware: true });
    notice(`Device: ${found.name} (${found.kind === "gpu" ? "GPU" : "software"}); ${found.why}.`);
    return named(await openFound(found));
  }
  let why: string;
  try {
    const search = await searchAdapters({ allowSoftware: false });
    if (search.found !== undefined) return named(await openFound(search.found));
    why = reasonsOf(search);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    why = error.message.replace(/\.$/, "");
  }
  notice(
    `No GPU was found (${why}), so this runs on the CPU; a GPU with its driver would be faster. See graft doctor.`,
  );
  return named(openCpu());
}

function named(device: Device): OpenedDevice {
  return { device, name: device.name, [Symbol.dispose]: () => device.close() };
}

function reasonsOf({ refused }: AdapterSearch): string {
  return refused.map(({ name, why }) => `${name}: ${why}`).join("; ");
}
