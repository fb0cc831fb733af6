import { open } from "node:fs/promises";

/** Whether a file is meant as GGUF, by its name or its first four bytes. */
export async function isGguf(path: string): Promise<boolean> {
  if (path.toLowerCase().endsWith(".gguf")) return true;
  const file = await open(path);
  try {
    const bytes = new Uint8Array(4);
    await file.read(bytes, 0, 4, 0);
    return new TextDecoder("latin1").decode(bytes) === "GGUF";
  } finally {
    await file.close();
  }
}
