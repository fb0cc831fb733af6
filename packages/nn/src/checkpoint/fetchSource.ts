import { CheckpointError } from "../errors.ts";
import { type ByteSource, bytesSource, checkLength, checkRange } from "./byteSource.ts";

export interface FetchSourceOptions {
  /** Defaults to the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** Sent with every request, for example `{ authorization: "Bearer …" }`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const firstBytes = 64 * 1024;

/**
 * A file behind a URL. Asks for byte ranges, so a header costs one small request; where the server sends no ranges
 * (or a page may not see the size), the whole file is fetched once and kept.
 */
export async function fetchSource(url: string | URL, options: FetchSourceOptions = {}): Promise<ByteSource> {
  const name = nameOf(url);
  const send = options.fetch ?? globalThis.fetch;

  function request(range?: string): Promise<Response> {
    const headers = range === undefined ? { ...options.headers } : { ...options.headers, range };
    return send(url, { headers, signal: options.signal });
  }

  const first = await request(`bytes=0-${firstBytes - 1}`);
  if (first.status === 416) return bytesSource(new Uint8Array(0), name);
  const size = first.status === 206 ? totalOf(first, 0) : undefined;
  if (size === undefined) {
    const whole = first.status === 206 ? await request() : first;
    if (whole.status !== 200) throw refused(name, whole);
    return bytesSource(await whole.arrayBuffer(), name);
  }
  const prefix = checkLength(name, 0, Math.min(size, firstBytes), new Uint8Array(await first.arrayBuffer()));
  const etag = first.headers.get("etag");

  return {
    size,
    name,
    async read(offset, length) {
      checkRange(name, size, offset, length);
      if (offset + length <= prefix.length) return prefix.subarray(offset, offset + length);
      if (length === 0) return new Uint8Array(0);
      const part = await request(`bytes=${offset}-${offset + length - 1}`);
      if (part.status !== 206) throw refused(name, part);
      if (totalOf(part, offset) !== size || part.headers.get("etag") !== etag) {
        throw new CheckpointError("fetchSource", `${name} must not change while it is read. Load it again.`);
      }
      return checkLength(name, offset, length, new Uint8Array(await part.arrayBuffer()));
    },
  };
}

/** The size of the whole file from `content-range: bytes 0-99/1234`, if it says so and starts at `offset`. */
function totalOf(response: Response, offset: number): number | undefined {
  const match = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15})$/.exec(response.headers.get("content-range") ?? "");
  return match !== null && Number(match[1]) === offset ? Number(match[2]) : undefined;
}

function refused(name: string, response: Response): CheckpointError {
  return new CheckpointError("fetchSource", `${name} must be readable, got HTTP status ${response.status}.`);
}

/** The last part of the path: a query may hold a token and must not reach a message. */
function nameOf(url: string | URL): string {
  return String(url).split(/[?#]/)[0].split("/").at(-1) || "the file";
}
