import { ValueError } from "@graft/tensor";
import { expect, test } from "vitest";
import { packNibbles, unpackNibbles } from "./pack.ts";

const orders = ["highFirst", "lowFirst"] as const;

test.each(orders)("%s: all 65,536 pairs of bytes come back from their four codes", (order) => {
  for (let word = 0; word < 65536; word++) {
    const bytes = Uint8Array.of(word & 255, word >>> 8);
    const codes = unpackNibbles(bytes, 4, order);
    const back = packNibbles(codes, order);
    if (back[0] !== bytes[0] || back[1] !== bytes[1]) expect.fail(`${word} became ${back}`);
  }
});

test.each(orders)("%s: all triples of codes come back, and the odd one is padded", (order) => {
  for (let i = 0; i < 4096; i++) {
    const codes = Uint8Array.of(i & 15, (i >>> 4) & 15, i >>> 8);
    const bytes = packNibbles(codes, order, i % 16);
    const back = unpackNibbles(bytes, 3, order);
    if (back.join() !== codes.join()) expect.fail(`${codes} became ${back}`);
    expect(unpackNibbles(bytes, 4, order)[3]).toBe(i % 16);
  }
});

test("the first code is the high or the low half", () => {
  expect([...packNibbles([15, 0, 7, 12], "highFirst")]).toEqual([0xf0, 0x7c]);
  expect([...packNibbles([15, 0, 7, 12], "lowFirst")]).toEqual([0x0f, 0xc7]);
  expect(packNibbles([], "lowFirst")).toHaveLength(0);
});

test("what does not fit is refused", () => {
  expect(() => packNibbles([1, 16], "lowFirst")).toThrow(
    new ValueError("packNibbles", "codes must lie in 0..15, got 1 and 16 at 0."),
  );
  expect(() => packNibbles([1, 2, -1], "highFirst")).toThrow(
    new ValueError("packNibbles", "codes must lie in 0..15, got -1 and 0 at 2."),
  );
  expect(() => unpackNibbles(new Uint8Array(2), 5, "lowFirst")).toThrow(
    new ValueError("unpackNibbles", "5 codes must be 3 bytes, got 2."),
  );
});
