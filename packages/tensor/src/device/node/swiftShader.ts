import { readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { openGpu } from "./gpu.ts";
import { cachedFolder, unpackTar } from "./unpack.ts";

/** SwiftShader, or the reason why this machine cannot have it. */
export type SwiftShader = { gpu: GPU } | { refused: string };

const manifestVariables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;

/**
 * Google's software Vulkan, taken from the tarball inside the npm package `@sparticuz/chromium`, a dependency of
 * this repository's tests. It is slow (about 0.3 GFLOP/s) and has no f16, but it is there after an npm install
 * alone, so every kernel can be tested everywhere. Only the tarball is read; no code of that package runs.
 */
export async function openSwiftShader(): Promise<SwiftShader> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { refused: `it is built for linux-x64 only, and this is ${process.platform}-${process.arch}` };
  }
  const bin = chromiumBin();
  if (bin === undefined) return { refused: 'the npm package "@sparticuz/chromium" is not installed' };
  try {
    const folder = await unpackOnce(bin);
    await preloadLoader(join(folder, "libvulkan.so.1"));
    return { gpu: await openWithDriver(join(folder, "vk_swiftshader_icd.json")) };
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) };
  }
}

/** The folder `bin` of `@sparticuz/chromium`, looked up from here and from the working folder. */
export function chromiumBin(): string | undefined {
  for (const from of [import.meta.url, pathToFileURL(join(process.cwd(), "package.json"))]) {
    try {
      // The entry is <package>/build/index.js; package.json itself is not exported.
      return join(dirname(dirname(createRequire(from).resolve("@sparticuz/chromium"))), "bin");
    } catch {
      // Not reachable from there.
    }
  }
  return undefined;
}

/** A name for what was unpacked from that package: it changes with the version and with the file. */
export async function chromiumCacheName(bin: string, file: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(bin, "..", "package.json"), "utf8"));
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? String(manifest.version)
      : "unknown";
  const { size } = await stat(join(bin, file));
  return `${file.split(".")[0]}-${version}-${size}`;
}

async function unpackOnce(bin: string): Promise<string> {
  const file = "swiftshader.tar.br";
  const name = await chromiumCacheName(bin, file);
  return cachedFolder(name, (folder) => unpackTar(join(bin, file), folder));
}

// Dawn opens "libvulkan.so.1" by name. Where the system has none, ours must already be in the process, with global
// symbols; koffi can do that, process.dlopen cannot (Node closes the library again).
async function preloadLoader(ours: string): Promise<void> {
  const { load } = await import("koffi");
  const how = { global: true, lazy: true };
  try {
    load("libvulkan.so.1", how);
  } catch {
    load(ours, how);
  }
}

// The loader reads its variables when the first adapter is asked for. They are put back at once, so that
// processes started later and the search for other drivers do not see them.
async function openWithDriver(manifest: string): Promise<GPU> {
  const before = manifestVariables.map((name) => [name, process.env[name]] as const);
  for (const name of manifestVariables) process.env[name] = manifest;
  try {
    const gpu = await openGpu(["backend=vulkan"], "swiftshader");
    await gpu.requestAdapter();
    return gpu;
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}
