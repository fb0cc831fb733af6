import { readFileSync } from "node:fs";
import { bytesSource, openSafetensors } from "@graft/nn/checkpoint";
import { describe, expect, test } from "vitest";
import { dynamicMap, type NestedAbsmax } from "../src/doubleQuant.ts";
import { fp4, int8, nf4, q4_0, q8_0 } from "../src/schemes/index.ts";

const folder = new URL("../../../tools/golden/data/quant/", import.meta.url);
const file = await openSafetensors(
  bytesSource(readFileSync(new URL("quant.safetensors", folder)), "quant.safetensors"),
);
const golden = new Map<string, Uint8Array<ArrayBuffer>>();
for (const name of file.tensors.keys()) golden.set(name, new Uint8Array(await file.readBytes(name)));
const json = JSON.parse(readFileSync(new URL("quant.json", folder), "utf8")) as {
  bitsandbytes: string;
  cases: string[];
  doubleQuant: string[];
  int8: string[];
};

function bytesOf(name: string): Uint8Array<ArrayBuffer> {
  const bytes = golden.get(name);
  if (bytes === undefined) throw new Error(`no golden ${name}`);
  return bytes;
}

function floatsOf(name: string): Float32Array {
  return new Float32Array(bytesOf(name).buffer);
}

/** Equal bits, but for the sign of a zero: bitsandbytes' fp4 code 8 comes out as 0 or −0 depending on the kernel. */
function sameBits(actual: Float32Array, expected: Float32Array): void {
  const unsigned = (values: Float32Array) => new Uint32Array(values.map((value) => value + 0).buffer);
  expect(unsigned(actual)).toEqual(unsigned(expected));
}

const ulp = (value: number) => Math.max(Math.abs(value) * 2 ** -23, 2 ** -149);

describe(`bitsandbytes ${json.bitsandbytes}`, () => {
  test("the maps have its bits", () => {
    expect(new Uint8Array(dynamicMap.buffer)).toEqual(bytesOf("map.dynamic"));
    for (const scheme of [nf4, fp4]) {
      const map = floatsOf(`map.${scheme.name}`);
      const one = scheme.dequantize({
        scheme: scheme.name,
        shape: [16],
        blockSize: 64,
        codes: Uint8Array.of(0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef),
        absmax: Float32Array.of(1),
      });
      sameBits(one, map);
    }
  });

  const pairs = json.cases.flatMap((name) => [
    { name, scheme: nf4, key: `${name}.nf4`, blockSize: 64 },
    { name, scheme: fp4, key: `${name}.fp4`, blockSize: 64 },
  ]);
  pairs.push({ name: "normal", scheme: nf4, key: "normal.nf4-32", blockSize: 32 });
  pairs.push({ name: "weights", scheme: nf4, key: "weights.nf4-256", blockSize: 256 });

  test.each(pairs)("$key: codes, absmax and values to the bit", ({ name, scheme, key, blockSize }) => {
    const source = floatsOf(`${name}.source`);
    const packed = scheme.quantize(source, [source.length], { blockSize });
    expect(packed.codes).toEqual(bytesOf(`${key}.codes`));
    expect(packed.absmax).toEqual(floatsOf(`${key}.absmax`));
    sameBits(scheme.dequantize(packed), floatsOf(`${key}.values`));
  });

  const doubled = json.doubleQuant.flatMap((name) => [nf4, fp4].map((scheme) => ({ name, scheme })));
  test.each(doubled)("$name: double quantization within its bounds", ({ name, scheme }) => {
    const key = `${name}.${scheme.name}`;
    const source = floatsOf(`${name}.source`);
    const packed = scheme.quantize(source, [source.length], { doubleQuant: true });
    expect(packed.codes).toEqual(bytesOf(`${key}.codes`));
    const absmax = packed.absmax as NestedAbsmax;
    const theirs: NestedAbsmax = {
      codes: bytesOf(`${key}.absmax`),
      absmax: floatsOf(`${key}.nested_absmax`),
      offset: floatsOf(`${key}.nested_offset`)[0],
    };
    expect(Math.abs(absmax.offset - theirs.offset)).toBeLessThanOrEqual(2 * ulp(theirs.offset));
    expect(absmax.absmax).toHaveLength(theirs.absmax.length);
    for (const [i, value] of theirs.absmax.entries())
      expect(Math.abs(absmax.absmax[i] - value)).toBeLessThanOrEqual(2 * ulp(theirs.offset));
    // One step in one place of a hundred; of a block of equal scales any code is right, because its factor is 0.
    const steps = Array.from(theirs.codes, (code, i) =>
      theirs.absmax[Math.floor(i / 256)] === 0 ? 0 : Math.abs(code - absmax.codes[i]),
    );
    expect(Math.max(...steps)).toBeLessThanOrEqual(1);
    expect(steps.filter((step) => step > 0).length).toBeLessThanOrEqual(steps.length / 100);

    // What it wrote is read here with equal values.
    sameBits(scheme.dequantize({ ...packed, absmax: theirs }), floatsOf(`${key}.values`));
  });

  test("a rounded code, another order of nibbles and a tie upwards are noticed", () => {
    const source = floatsOf("ties-nf4.source");
    const { codes } = nf4.quantize(source, [source.length]);
    const expected = bytesOf("ties-nf4.nf4.codes");
    expect(codes).toEqual(expected);
    expect(codes.map((pair) => (pair << 4) | (pair >>> 4))).not.toEqual(expected);
    // Every tie moved up by one float.
    const above = source.map((value) => value + Math.abs(value) * 2 ** -23);
    above[0] = 1;
    expect(nf4.quantize(above, [source.length]).codes).not.toEqual(expected);
    const spread = floatsOf("double-spread.source");
    const { absmax } = nf4.quantize(spread, [spread.length], { doubleQuant: true });
    const coarse = nf4.quantize(
      spread.map((value) => value * 1.01),
      [spread.length],
      { doubleQuant: true },
    );
    expect((coarse.absmax as NestedAbsmax).absmax).not.toEqual((absmax as NestedAbsmax).absmax);
  });

  test.each(json.int8)("%s: int8 codes and scales to the bit", (name) => {
    const source = floatsOf(`${name}.source`);
    const shape = file.tensors.get(`${name}.source`)?.shape ?? [];
    const packed = int8.quantize(source, shape);
    expect(packed.absmax).toEqual(floatsOf(`${name}.absmax`));
    expect(new Uint8Array(packed.codes.buffer)).toEqual(bytesOf(`${name}.codes`));
    // It multiplies by a rounded 1/127; here the value is exact and rounded once.
    const theirs = floatsOf(`${name}.values`);
    for (const [i, value] of int8.dequantize(packed).entries())
      expect(Math.abs(value - theirs[i])).toBeLessThanOrEqual(2 * ulp(theirs[i]));
  });
});

describe("the gguf package", () => {
  const written = [q4_0, q8_0].flatMap((scheme) =>
    [...golden.keys()]
      .filter((key) => key.endsWith(`.${scheme.name}.bytes`))
      .map((key) => ({ scheme, name: key.slice(0, -".bytes".length) })),
  );

  test("has blocks of ordinary and other values", () => {
    expect(written.length).toBeGreaterThanOrEqual(8);
  });

  test.each(written)("$name: bytes and values to the bit", ({ scheme, name }) => {
    const source = floatsOf(`${name.slice(0, name.indexOf("."))}.source`);
    const packed = scheme.quantize(source, [source.length]);
    expect(packed.bytes).toEqual(bytesOf(`${name}.bytes`));
    sameBits(scheme.dequantize(packed), floatsOf(`${name}.values`));
  });

  test.each([q4_0, q8_0])("$name: the rows of the format's goldens to the bit", async (scheme) => {
    const blocks = await openSafetensors(
      bytesSource(readFileSync(new URL("../gguf/blocks.safetensors", folder)), "blocks.safetensors"),
    );
    const source = new Float32Array(new Uint8Array(await blocks.readBytes("source")).buffer);
    const { bytes } = scheme.quantize(source, [9, 256]);
    const theirs = new Uint8Array(await blocks.readBytes(`${scheme.name.toUpperCase()}.quantized`));
    expect(bytes).toEqual(theirs);
    expect(
      scheme.quantize(
        source.map((value) => value * 1.25),
        [9, 256],
      ).bytes,
    ).not.toEqual(theirs);
  });
});
