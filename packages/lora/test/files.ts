import { bytesSource, type Opener } from "@graft/nn/checkpoint";

export type Files = ReadonlyMap<string, string | Uint8Array>;

/** Opens files that are in memory. */
export function filesOpener(files: Files): Opener {
  return async (name) => {
    const content = files.get(name);
    if (content === undefined) return undefined;
    return bytesSource(typeof content === "string" ? new TextEncoder().encode(content) : content, name);
  };
}
