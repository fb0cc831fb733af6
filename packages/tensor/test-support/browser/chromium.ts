import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, chromium as launcher } from "playwright-core";
import { chromiumBin, chromiumCacheName } from "../../src/device/node/swiftShader.ts";
import { cachedFolder, unbrotli, unpackTar } from "../../src/device/node/unpack.ts";

// WebGPU on SwiftShader needs the first; the others keep the browser from talking to anyone but our server.
// The sandbox is off because containers often forbid what it needs, and the only page opened is our own.
const flags = [
  "--enable-unsafe-webgpu",
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-quic",
  "--no-first-run",
];

/**
 * Starts the headless Chromium of the npm package `@sparticuz/chromium` (linux-x64), so that tests in a page need
 * an npm install and nothing more. Unpacked once per machine (about 2 s, 220 MB); only its tarballs are read.
 */
export async function launchChromium(): Promise<Browser> {
  const folder = await unpackChromium();
  // What the browser links against but a small container lacks (NSS and friends) lies beside it.
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, ...env } = process.env;
  return launcher.launch({
    executablePath: join(folder, "chromium"),
    args: flags,
    env: { ...env, LD_LIBRARY_PATH: join(folder, "lib") },
  });
}

async function unpackChromium(): Promise<string> {
  const bin = chromiumBin();
  if (bin === undefined) {
    throw new Error(
      'launchChromium: the npm package "@sparticuz/chromium" is not installed. Run "npm run setup".',
    );
  }
  return cachedFolder(await chromiumCacheName(bin, "chromium.br"), async (folder) => {
    await unpackTar(join(bin, "swiftshader.tar.br"), folder);
    await unpackTar(join(bin, "al2023.tar.br"), folder);
    await writeFile(join(folder, "chromium"), await unbrotli(join(bin, "chromium.br")), { mode: 0o755 });
  });
}
