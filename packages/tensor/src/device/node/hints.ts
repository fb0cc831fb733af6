import { readdir } from "node:fs/promises";
import { join } from "node:path";

const manifestFolders = ["/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];

/**
 * A sentence on why Dawn saw no adapter of the system. Dawn itself tells its reasons on the error stream only,
 * so on Linux this tells which Vulkan drivers are installed.
 */
export async function systemHint(): Promise<string> {
  if (process.platform !== "linux") return "Dawn found no adapter";
  const chosen = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  if (chosen) return `Dawn accepted none of the Vulkan drivers that the environment names (${chosen})`;
  const drivers = (await Promise.all(manifestFolders.map(driversIn))).flat();
  if (drivers.length === 0) return "no Vulkan driver is installed";
  return `Dawn accepted none of the installed Vulkan drivers (${drivers.join(", ")}), or their loader is missing`;
}

async function driversIn(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => name.endsWith(".json")).map((name) => join(folder, name));
  } catch {
    return [];
  }
}
