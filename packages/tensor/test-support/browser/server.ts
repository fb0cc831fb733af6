import { randomUUID } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { importMap } from "./importMap.ts";

/** One call in a page: a module (path from the repository root) and what its default export is called with. */
export type Task = { readonly modulePath: string; readonly args: unknown };

/** What came of it, as the page reports it. */
export type Outcome = { readonly value?: unknown; readonly error?: string };

/** A server of the repository on the loopback address, and the way to run a task in a page that it serves. */
export type PageServer = {
  /** Registers a task: the address that a page must open to run it, and the promise of its outcome. */
  offer(task: Task): { url: string; outcome: Promise<Outcome>; withdraw(): void };
  close(): Promise<void>;
};

const root = fileURLToPath(new URL("../../../..", import.meta.url));

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".ts": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

// Cross-origin isolation gives the page SharedArrayBuffer; the policy forbids eval and Function, as a careful
// site would, so that code of ours which needs them fails here.
const headers = (nonce: string) => ({
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy": `default-src 'self'; script-src 'self' 'nonce-${nonce}' 'wasm-unsafe-eval'; worker-src 'self' blob:`,
  "Cache-Control": "no-store",
});

type Open = { task: Task; resolve: (outcome: Outcome) => void };

/** Serves built packages (`dist`) under the names that users import; TypeScript test modules are stripped of types. */
export async function servePages(): Promise<PageServer> {
  const open = new Map<string, Open>();
  const map = JSON.stringify({ imports: await importMap(root) });

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(404).end(String(error)));
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const [, kind, id = ""] = pathname.split("/");
    const nonce = randomUUID();
    const send = (type: string, body: string | Buffer) => {
      response.writeHead(200, { ...headers(nonce), "Content-Type": type }).end(body);
    };
    const entry = open.get(id);
    if (kind === "task" && entry) return send("text/html", pageFor(entry.task, map, nonce, id));
    if (kind === "outcome" && entry) {
      entry.resolve(await readJson(request));
      return send("text/plain", "");
    }
    send(
      types[extname(pathname)] ?? "application/octet-stream",
      await readModule(decodeURIComponent(pathname)),
    );
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new Error("internal: the page server has no port.");
  const origin = `http://127.0.0.1:${address.port}`;

  return {
    offer(task) {
      const id = randomUUID();
      const outcome = new Promise<Outcome>((resolve) => open.set(id, { task, resolve }));
      return { url: `${origin}/task/${id}`, outcome, withdraw: () => open.delete(id) };
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function pageFor(task: Task, map: string, nonce: string, id: string): string {
  // "<" is escaped, so that no argument can end the script element.
  const json = (value: unknown) => JSON.stringify(value ?? null).replaceAll("<", "\\u003c");
  return `<!doctype html><meta charset="utf-8"><title>test</title>
<script type="importmap" nonce="${nonce}">${map}</script>
<script type="module" nonce="${nonce}">
const report = (outcome) => fetch("/outcome/${id}", { method: "POST", body: JSON.stringify(outcome) });
try {
  const { default: run } = await import(${json(`/${task.modulePath}`)});
  await report({ value: await run(${json(task.args)}) });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
</script>`;
}

async function readModule(pathname: string): Promise<string | Buffer> {
  const path = await realpath(join(root, pathname));
  if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) throw new Error(`${pathname} is outside`);
  const bytes = await readFile(path);
  if (extname(path) !== ".ts") return bytes;
  return (await transform(bytes.toString("utf8"), { loader: "ts", target: "es2023", sourcefile: pathname }))
    .code;
}

async function readJson(request: IncomingMessage): Promise<Outcome> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  return typeof parsed === "object" && parsed !== null ? parsed : {};
}
