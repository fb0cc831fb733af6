import type { Browser } from "playwright-core";
import { launchChromium } from "./chromium.ts";
import { type Outcome, servePages, type Task } from "./server.ts";

/** A browser with WebGPU and a server of this repository. */
export type TestPage = {
  /**
   * Calls the default export of a module in a fresh page and returns its result, both sent as JSON.
   *
   * @param modulePath - from the repository root, `.ts` or `.js`; it imports packages by name, from their `dist`
   * @param timeoutMs - how long to wait for its result, in milliseconds
   */
  run(modulePath: string, args?: unknown, timeoutMs?: number): Promise<unknown>;
  close(): Promise<void>;
};

// Seen in the wild when Chromium's GPU process dies; nothing inside that browser helps, a new browser does.
const deadBrowser =
  /external Instance reference no longer exists|has been closed|crashed|No available adapter/i;

/** Opens a browser for tests; close it in `afterAll`. */
export async function openPage(): Promise<TestPage> {
  const server = await servePages();
  let browser = await launchChromium();

  async function attempt(task: Task, timeoutMs: number): Promise<Outcome> {
    const { url, outcome, withdraw } = server.offer(task);
    try {
      return await openAndWait(browser, url, outcome, timeoutMs);
    } finally {
      withdraw();
    }
  }

  return {
    async run(modulePath, args, timeoutMs = 30_000) {
      const task = { modulePath, args };
      let result = await attempt(task, timeoutMs);
      if (result.error !== undefined && deadBrowser.test(result.error)) {
        await browser.close().catch(() => undefined);
        browser = await launchChromium();
        result = await attempt(task, timeoutMs);
      }
      if (result.error !== undefined) throw new Error(`${modulePath}, in the page: ${result.error}`);
      return result.value;
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}

/** Runs one module in a browser of its own. */
export async function runInPage(modulePath: string, args?: unknown): Promise<unknown> {
  const page = await openPage();
  try {
    return await page.run(modulePath, args);
  } finally {
    await page.close();
  }
}

async function openAndWait(
  browser: Browser,
  url: string,
  outcome: Promise<Outcome>,
  timeoutMs: number,
): Promise<Outcome> {
  const seen: string[] = [];
  const failure = (what: string): Outcome => ({ error: [what, ...seen].join("\n  ") });
  let timer: NodeJS.Timeout | undefined;
  try {
    const page = await browser.newPage();
    page.on("console", (message) => seen.push(message.text()));
    page.on("pageerror", (error) => seen.push(String(error)));
    const died = new Promise<Outcome>((resolve) =>
      page.on("crash", () => resolve(failure("the page crashed"))),
    );
    const late = new Promise<Outcome>((resolve) => {
      timer = setTimeout(() => resolve(failure(`no result after ${timeoutMs} ms`)), timeoutMs);
    });
    await page.goto(url);
    const result = await Promise.race([outcome, died, late]);
    await page.close().catch(() => undefined);
    return result.error === undefined ? result : failure(result.error);
  } catch (error) {
    return failure(String(error));
  } finally {
    clearTimeout(timer);
  }
}
