import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readExactly } from "../../src/checkpoint/byteSource.ts";
import {
  type ByteSource,
  blobSource,
  bytesSource,
  CheckpointError,
  fetchSource,
} from "../../src/checkpoint/index.ts";

const data = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7919) >>> 3);

let server: Server;
let base: string;
const asked: string[] = [];
let version = 1;

beforeAll(async () => {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://x");
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    asked.push(`${pathname} ${request.headers.range ?? "whole"}`);
    if (pathname === "/gone") return void response.writeHead(404).end();
    if (pathname === "/empty") return void response.writeHead(416, { "content-range": "bytes */0" }).end();
    if (pathname === "/plain" || range === null) return void response.writeHead(200).end(data);
    const from = Number(range[1]);
    const to = Math.min(Number(range[2]), data.length - 1);
    const total = pathname === "/hidden" ? "*" : data.length;
    const part = pathname === "/short" && from > 0 ? data.subarray(from, to) : data.subarray(from, to + 1);
    const etag = pathname === "/changing" ? `"${version++}"` : '"1"';
    response.writeHead(206, { "content-range": `bytes ${from}-${to}/${total}`, etag }).end(part);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await new Promise((done) => server.close(done));
});

const kinds: [string, () => Promise<ByteSource>][] = [
  ["bytes", async () => bytesSource(data)],
  ["an ArrayBuffer", async () => bytesSource(data.slice().buffer)],
  ["part of a buffer", async () => bytesSource(new Uint8Array([9, ...data]).subarray(1))],
  ["a Blob", async () => blobSource(new Blob([data]))],
  ["a server with ranges", () => fetchSource(`${base}/ranges`)],
  ["a server without ranges", () => fetchSource(`${base}/plain`)],
  ["a server that hides the size", () => fetchSource(`${base}/hidden`)],
];

describe.each(kinds)("%s", (_, make) => {
  test("gives any part", async () => {
    const source = await make();
    expect(source.size).toBe(data.length);
    for (const [offset, length] of [
      [0, 0],
      [0, 8],
      [65_530, 20],
      [100_000, 1000],
      [199_999, 1],
      [200_000, 0],
    ]) {
      expect(await source.read(offset, length)).toEqual(data.subarray(offset, offset + length));
    }
    expect(Buffer.compare(await source.read(0, data.length), data)).toBe(0);
    await source.close?.();
  });

  test("refuses what lies outside", async () => {
    const source = await make();
    for (const [offset, length] of [
      [-1, 1],
      [0, 200_001],
      [200_000, 1],
      [0, -1],
      [0.5, 1],
      [NaN, 1],
      [0, 2 ** 60],
    ]) {
      await expect(source.read(offset, length)).rejects.toBeInstanceOf(CheckpointError);
    }
    await expect(source.read(199_999, 2)).rejects.toEqual(
      new CheckpointError("read", `bytes 199999 to 200001 must lie inside ${source.name}, which has 200000.`),
    );
  });
});

test("names: a file's own, and no query of a URL, which may hold a token", async () => {
  expect(blobSource(new File([data], "picked.gguf")).name).toBe("picked.gguf");
  expect((await fetchSource(`${base}/ranges?token=secret`)).name).toBe("ranges");
});

test("a header costs one request", async () => {
  asked.length = 0;
  const source = await fetchSource(`${base}/ranges`);
  await source.read(0, 8);
  await source.read(8, 1000);
  expect(asked).toEqual(["/ranges bytes=0-65535"]);
  await source.read(100_000, 10);
  expect(asked.at(-1)).toBe("/ranges bytes=100000-100009");
});

test("an empty file behind a URL", async () => {
  expect((await fetchSource(`${base}/empty`)).size).toBe(0);
});

test.each<[string, () => Promise<unknown>, string, string]>([
  [
    "a missing file",
    () => fetchSource(`${base}/gone`),
    "fetchSource",
    "gone must be readable, got HTTP status 404.",
  ],
  [
    "a file that changes",
    async () => (await fetchSource(`${base}/changing`)).read(100_000, 10),
    "fetchSource",
    "changing must not change while it is read. Load it again.",
  ],
  [
    "an answer that is cut short",
    async () => (await fetchSource(`${base}/short`)).read(100_000, 10),
    "read",
    "short must give 10 bytes at 100000, got 9. Did the file change while it was read?",
  ],
  [
    "a source that gives too little",
    () => readExactly({ size: 10, name: "x", read: async () => new Uint8Array(3) }, 2, 4),
    "read",
    "x must give 4 bytes at 2, got 3. Did the file change while it was read?",
  ],
])("%s is refused", async (_, call, who, message) => {
  await expect(call()).rejects.toEqual(new CheckpointError(who, message));
});
