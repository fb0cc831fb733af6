import { readFile } from "node:fs/promises";
import { isObject } from "./json.ts";

/** The version in this package's package.json. */
export async function graftVersion(): Promise<string> {
  const json: unknown = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  return isObject(json) && typeof json.version === "string" ? json.version : "unknown";
}
