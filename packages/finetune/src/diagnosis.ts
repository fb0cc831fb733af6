import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type Device, DeviceError, fromArray, matmul, openCpu, scope, slice } from "@graft/tensor";
import { type AdapterSearch, openFound, type Refusal, searchAdapters } from "@graft/tensor/node";
import { isObject } from "./json.ts";
import { graftVersion } from "./version.ts";

/** The measured speed of a matrix product on a device. */
export interface MatmulSpeed {
  readonly device: string;
  readonly kind: "cpu" | "webgpu";
  /** Rows and columns of the square matrices. */
  readonly size: number;
  /** 10⁹ floating-point operations per second; a product of n × n matrices has 2 · n³. */
  readonly gflops: number;
}

/** What `graft doctor` says. */
export interface Diagnosis {
  /** The device that a run takes, and its kind. */
  readonly device: string;
  readonly kind: "cpu" | "webgpu";
  readonly why: string;
  /** Adapters that were looked at and not taken. */
  readonly refused: readonly Refusal[];
  readonly matmul: readonly MatmulSpeed[];
  readonly versions: Readonly<Record<string, string>>;
  /** The one step that would improve it. */
  readonly advice: string;
}

/** @param choice - what `--device` says; undefined: a real GPU, else the CPU device */
export async function diagnose(choice: "webgpu" | "cpu" | undefined): Promise<Diagnosis> {
  const search = await searched(choice);
  const cpu = openCpu();
  const speeds = [await matmulSpeed(cpu)];
  const refused = [...search.refused];
  let chosen: { device: string; kind: "cpu" | "webgpu"; why: string } = {
    device: cpu.name,
    kind: "cpu",
    why: choice === "cpu" ? "--device cpu asks for it" : "no GPU was found",
  };
  if (search.found !== undefined) {
    const { found } = search;
    const gpu = await openFound(found);
    speeds.unshift(await matmulSpeed(gpu));
    gpu.close();
    if (found.kind === "gpu" || choice === "webgpu")
      chosen = { device: found.name, kind: "webgpu", why: found.why };
    else
      refused.unshift({
        name: found.name,
        why: "it computes on the CPU, so it is taken only with --device webgpu",
      });
  }
  cpu.close();
  return {
    ...chosen,
    refused,
    matmul: speeds,
    versions: {
      graft: await graftVersion(),
      node: process.versions.node,
      webgpu: await webgpuVersion(),
      system: `${process.platform}-${process.arch}`,
    },
    advice: adviceFor(choice, search),
  };
}

async function searched(choice: "webgpu" | "cpu" | undefined): Promise<AdapterSearch> {
  if (choice === "cpu") return { refused: [] };
  try {
    return await searchAdapters({ allowSoftware: true });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    return { refused: [{ name: "webgpu", why: error.message }] };
  }
}

function adviceFor(choice: "webgpu" | "cpu" | undefined, { found, refused }: AdapterSearch): string {
  if (choice === "cpu") return "Run graft doctor without --device cpu to look for a GPU.";
  if (found?.kind === "gpu") return "None: a GPU is used.";
  if (refused.some(({ name }) => name === "webgpu"))
    return "Install Dawn's binding with npm install webgpu, so that a GPU can be used.";
  if (process.platform === "linux") {
    return "Use a machine with a GPU, or install the Vulkan driver of the one that is there (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own for NVIDIA), then run graft doctor again.";
  }
  return "Use a machine with a GPU, or update the driver of the one that is there, then run graft doctor again.";
}

/** Seconds that a measurement takes, about. */
const ENOUGH = 0.25;

/** Doubles the matrices until a product takes long enough, at most to 2048 × 2048; then times several of them. */
async function matmulSpeed(device: Device): Promise<MatmulSpeed> {
  await secondsFor(device, 64, 1); // compiles
  let size = 128;
  let seconds = await secondsFor(device, size, 1);
  while (size < 2048 && seconds * 8 < ENOUGH) {
    size *= 2;
    seconds = await secondsFor(device, size, 1);
  }
  // Several between two waits, so that the way to the device and back does not count.
  const count = Math.min(32, Math.max(1, Math.round(ENOUGH / seconds)));
  seconds = Math.min(seconds, (await secondsFor(device, size, count)) / count);
  return { device: device.name, kind: device.kind, size, gflops: (2 * size ** 3) / seconds / 1e9 };
}

/** Seconds for `count` products of `size` × `size` matrices. */
async function secondsFor(device: Device, size: number, count: number): Promise<number> {
  const values = Float32Array.from({ length: size * size }, (_, i) => Math.sin(i));
  using a = fromArray(device, values, [size, size]);
  using b = fromArray(device, values, [size, size]);
  using corner = slice(slice(a, 0, 0, 1), 1, 0, 1);
  await corner.toArray(); // uploads are done
  const began = performance.now();
  using last = scope(() => {
    let product = matmul(a, b);
    for (let i = 1; i < count; i++) {
      product.dispose();
      product = matmul(a, b);
    }
    return slice(slice(product, 0, 0, 1), 1, 0, 1); // reading it waits for all that was queued before
  });
  await last.toArray();
  return (performance.now() - began) / 1000;
}

async function webgpuVersion(): Promise<string> {
  try {
    const tensor = createRequire(import.meta.url).resolve("@graft/tensor");
    const webgpu = createRequire(tensor).resolve("webgpu");
    const json: unknown = JSON.parse(await readFile(join(dirname(webgpu), "package.json"), "utf8"));
    return isObject(json) && typeof json.version === "string" ? json.version : "unknown";
  } catch {
    return "not found";
  }
}
