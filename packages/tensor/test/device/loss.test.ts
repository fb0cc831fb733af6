import {
  DeviceError,
  DeviceLostError,
  matmul,
  OutOfMemoryError,
  ones,
  openScope,
  zeros,
} from "@graft/tensor";
import { gpuGlobals, openWebGpu } from "@graft/tensor/node";
import { expect, test } from "vitest";
import { openNull } from "../../test-support/nullDevice.ts";

const lost = (reason: string): string =>
  `webgpu: the device was lost (${reason}). Open another one and go on from the last snapshot.`;

test("losing the device rejects what is pending, and every later call says so", async () => {
  const device = await openWebGpu();
  using _all = openScope();
  const x = ones(device, [64, 64]);
  const y = matmul(x, x);
  const pending = [x.toArray(), y.toArray(), device.finish(), device.throttle(0)];
  device.gpu.destroy();
  for (const promise of pending) await expect(promise).rejects.toThrow(DeviceLostError);
  const loss = await device.lost;
  expect(loss).toBeInstanceOf(DeviceLostError);
  expect(loss.reason).toMatch(/destroyed/);
  expect(device.loss).toBe(loss);
  expect(loss.message).toBe(lost(loss.reason));
  for (const call of [
    () => zeros(device, [1]),
    () => x.add(1),
    () => device.upload(x.storage, new Float32Array(1)),
    () => device.copy(x, y),
  ])
    expect(call).toThrow(loss);
  for (const call of [
    () => y.toArray(),
    () => device.finish(),
    () => device.throttle(),
    () => device.warm([]),
  ])
    await expect(call()).rejects.toThrow(loss);
  x.dispose(); // what it held can still be let go
});

test("a read that began before the loss is known is rejected as lost", async () => {
  const device = await openWebGpu();
  using _all = openScope();
  const x = ones(device, [4]);
  device.gpu.destroy(); // the device hears of it in a later turn
  await expect(x.toArray()).rejects.toThrow(DeviceLostError);
});

test("closing is a loss too, and closing twice is harmless", async () => {
  const device = await openWebGpu();
  const x = ones(device, [4]);
  const reading = x.toArray();
  device.close();
  device.close();
  await expect(reading).rejects.toThrow(lost("it was closed"));
  expect(() => x.add(1)).toThrow(lost("it was closed"));
  expect((await device.lost).reason).toBe("it was closed");
});

test("a step that nobody waits for does not end the process when the device is lost", async () => {
  const device = await openWebGpu();
  using _all = openScope();
  ones(device, [4]).add(1);
  await device.throttle();
  device.gpu.destroy();
  await device.lost;
  await expect(device.throttle()).rejects.toThrow(DeviceLostError);
});

test("memory that Dawn does not have is an OutOfMemoryError, which says what is in use", async () => {
  const device = await openNull();
  const storages = Array.from({ length: 4 }, () => device.allocate("f32", 25 * 2 ** 20));
  expect(() => device.allocate("f32", 30 * 2 ** 20)).toThrow(OutOfMemoryError);
  const { liveBytes, liveBuffers } = device.memory();
  expect([liveBytes, liveBuffers]).toEqual([4 * 104 * 2 ** 20, 4]); // 100 MiB, rounded up
  expect(device.loss).toBeUndefined();
  storages.pop()?.release();
  await device.finish();
  expect(() => device.allocate("f32", 30 * 2 ** 20)).toThrow(
    /^webgpu: the device has no memory left: 327155712 bytes in 3 buffers are in use, 109051904 waited to be used again and are free now \(Out of memory.*\)\. Use a smaller batch, a shorter sequence or fewer bits\.$/s,
  );
  await device.finish();
  // What waited in the pool was freed, and so there is room now.
  storages.push(device.allocate("f32", 30 * 2 ** 20));
  await device.finish();
  expect(device.memory().liveBuffers).toBe(4);
  for (const storage of storages) storage.release();
  device.close();
});

test("where the device tells of it later, the next call throws it", async () => {
  const device = await openWebGpu();
  const { GPUOutOfMemoryError } = await gpuGlobals();
  const error: Pick<GPUUncapturedErrorEvent, "error"> = { error: new GPUOutOfMemoryError("none") };
  const tell = () => device.gpu.onuncapturederror?.call(device.gpu, error as GPUUncapturedErrorEvent); // no more is read of it
  tell();
  expect(() => zeros(device, [3])).toThrow(OutOfMemoryError);
  tell();
  await expect(device.finish()).rejects.toThrow(
    "webgpu: the device has no memory left: 0 bytes in 0 buffers are in use, 0 waited to be used again and are free now (none). Use a smaller batch, a shorter sequence or fewer bits.",
  );
  await device.finish();
  device.close();
});

test("another error of the device is a DeviceError with its words, told once", async () => {
  const device = await openWebGpu();
  const { GPUBufferUsage } = await gpuGlobals();
  device.gpu.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  const failing = device.finish();
  await expect(failing).rejects.toThrow(DeviceError);
  await expect(failing).rejects.toThrow(/^webgpu: .*MapRead/s);
  await device.finish();
  device.close();
});
