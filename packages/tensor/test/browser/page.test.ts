import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, type TestPage } from "../../test-support/browser/page.ts";

const here = "packages/tensor/test/browser";
let page: TestPage;

beforeAll(async () => {
  page = await openPage();
});
afterAll(() => page.close());

test("a page has a WebGPU adapter that computes, and shared memory", async () => {
  expect(await page.run(`${here}/double.page.ts`, [1, -2, 3.5])).toEqual({
    doubled: [2, -4, 7],
    vendor: expect.any(String),
    architecture: expect.any(String),
    isolated: true,
  });
});

test("an error in the page is an error of the test, with its text", async () => {
  await expect(page.run(`${here}/fail.page.ts`, "throw")).rejects.toThrow(
    /^packages\/tensor\/test\/browser\/fail\.page\.ts, in the page: RangeError: thrown in the page/,
  );
});

test("code made from strings is forbidden in the page", async () => {
  await expect(page.run(`${here}/fail.page.ts`, "eval")).rejects.toThrow(/unsafe-eval/);
});

test("a module that is not there is an error that names it", async () => {
  await expect(page.run(`${here}/gone.page.ts`)).rejects.toThrow(/gone\.page\.ts/);
});

test("a page that never answers is given up", async () => {
  await expect(page.run(`${here}/fail.page.ts`, "hang", 300)).rejects.toThrow(/no result after 300 ms/);
});

test("a browser whose GPU process died is replaced once, and then works", async () => {
  await expect(page.run(`${here}/fail.page.ts`, "dead")).rejects.toThrow(
    /Instance reference no longer exists/,
  );
  expect(await page.run(`${here}/double.page.ts`, [4])).toMatchObject({ doubled: [8] });
});
