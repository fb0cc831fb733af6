import { beforeAll, describe, expect, test, vi } from "vitest";
import { openDevice } from "../src/device.ts";
import { graft } from "./graft.ts";

beforeAll(() => vi.stubEnv("GRAFT_ADAPTER", ""));

describe("doctor", () => {
  test("tells of the CPU device", async () => {
    const ended = await graft("doctor", "--device", "cpu", "--json");
    expect(ended).toMatchObject({ code: 0, err: "" });
    expect(ended.lines).toMatchObject([
      {
        device: "CPU",
        kind: "cpu",
        why: "--device cpu asks for it",
        refused: [],
        matmul: [{ device: "CPU", kind: "cpu", gflops: expect.any(Number) }],
        versions: { graft: "0.1.0", node: process.versions.node, webgpu: expect.any(String) },
        advice: expect.any(String),
      },
    ]);
  });

  test("tells of what was found and refused, in words", async () => {
    const { code, out } = await graft("doctor");
    expect(code).toBe(0);
    expect(out).toMatch(/^device {4}.+: .+/);
    expect(out).toMatch(/^speed {5}CPU: [\d.e+]+ GFLOP\/s/m);
    expect(out).toMatch(/^advice {4}.+/m);
  });
});

describe("openDevice", () => {
  test("without a GPU it says so in one line and takes the CPU", async () => {
    const lines: string[] = [];
    using opened = await openDevice(undefined, (line) => lines.push(line));
    expect(opened.name).toBe(opened.device.name);
    if (opened.device.kind === "webgpu") return; // this machine has one
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^No GPU was found \(.+\), so this runs on the CPU; a GPU with its driver would be faster\. See graft doctor\.$/,
    );
  });

  test("webgpu takes a software adapter too and says which", async () => {
    const lines: string[] = [];
    using opened = await openDevice("webgpu", (line) => lines.push(line));
    expect(opened.device.kind).toBe("webgpu");
    expect(lines).toEqual([expect.stringContaining(`Device: ${opened.name} (`)]);
  });

  test("cpu looks for nothing", async () => {
    const lines: string[] = [];
    using opened = await openDevice("cpu", (line) => lines.push(line));
    expect(opened.device.kind).toBe("cpu");
    expect(lines).toEqual([]);
  });
});
