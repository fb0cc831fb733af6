import { afterAll, beforeAll, expect, test } from "vitest";
import { findAdapter } from "../../src/device/node/index.ts";
import { detectRaces, validateWgsl } from "../../test-support/wgsl.ts";

let device: GPUDevice;

beforeAll(async () => {
  const { adapter } = await findAdapter({ allowSoftware: true });
  device = await adapter.requestDevice();
});
afterAll(() => device.destroy());

// A tree reduction; a kernel without the barrier inside its loop is the classic mistake.
const reduction = (barrier: string) => `requires immediate_address_space;
struct Params { rows: u32 }
var<immediate> params: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> partial: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (group.x >= params.rows) { return; }
  partial[lane] = x[group.x * 64u + lane];
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    ${barrier}
  }
  if (lane == 0u) { y[group.x] = partial[0]; }
}`;

test("a good shader has no messages", async () => {
  expect(await validateWgsl(device, "@compute @workgroup_size(1) fn main() {}")).toEqual([]);
});

test("a wrong shader gives its message and place", async () => {
  const [message] = await validateWgsl(
    device,
    "@compute @workgroup_size(1)\nfn main() { let a: u32 = 1.5; }",
  );
  expect(message).toMatchObject({ type: "error", line: 2 });
  expect(message?.text).toMatch(/u32/);
});

test("a missing barrier is a race, and with it the sum is right", () => {
  const run = () => ({
    workgroups: [3, 1, 1] as const,
    buffers: { 0: new Float32Array(192).fill(1), 1: new Float32Array(3) },
    immediates: new Uint32Array([2]),
  });
  const right = run();
  expect(detectRaces(reduction("workgroupBarrier();"), right)).toEqual([]);
  expect([...right.buffers[1]]).toEqual([64, 64, 0]);
  const found = detectRaces(reduction(""), run());
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(/Data race on 'partial'/);
});
