import * as fc from "fast-check";
import { expect, test } from "vitest";
import { openCpu } from "./cpuDevice.ts";

test("an array is used again for the same type and size only, and comes back zeroed", () => {
  const device = openCpu();
  const first = device.allocate("f32", 4096);
  device.upload(first, new Float32Array(4096).fill(7));
  device.free(first);
  expect(device.memory()).toMatchObject({ liveBytes: 0, pooledBytes: 16384, peakBytes: 16384 });
  device.free(device.allocate("i32", 2048));
  expect(device.memory().pooledBytes).toBeLessThanOrEqual(16384);
  const again = device.allocate("f32", 4096);
  expect(device.memory().liveBytes).toBe(16384);
  return expect(device.read({ storage: again, offset: 0, shape: [4096], dtype: "f32" })).resolves.toEqual(
    new Float32Array(4096),
  );
});

test("live and pooled bytes together never exceed the most that was live", () => {
  const step = fc.record({ free: fc.boolean(), size: fc.constantFrom(10, 1024, 1025, 5000, 20000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const device = openCpu();
      const held = [];
      for (const { free, size } of steps) {
        const storage = free ? held.shift() : undefined;
        if (storage !== undefined) device.free(storage);
        else held.push(device.allocate("f32", size));
        const { liveBytes, pooledBytes, peakBytes } = device.memory();
        expect(liveBytes + pooledBytes).toBeLessThanOrEqual(peakBytes);
      }
      for (const storage of held) device.free(storage);
      expect(device.memory()).toMatchObject({ liveBytes: 0, liveBuffers: 0 });
      device.close();
      expect(device.memory().pooledBytes).toBe(0);
    }),
  );
});

test("memory that is pooled does not count against maxBytes", () => {
  const device = openCpu({ maxBytes: 40000 });
  device.free(device.allocate("f32", 9000));
  device.free(device.allocate("f32", 9001));
  expect(() => device.allocate("f32", 10001)).toThrow("40004 bytes do not fit");
});
