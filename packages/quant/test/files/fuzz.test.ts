// Mutated descriptions, scales and blocks: understood or refused by a typed error, and what is understood is finite and fits.
// `GRAFT_FUZZ_RUNS=100000` runs as many as the release does; those of quant_state are in bnb4bit.test.ts.
import {
  bytesSource,
  CheckpointError,
  openSafetensors,
  type SafetensorsTensor,
  serializeSafetensors,
} from "@graft/nn/checkpoint";
import { sizeOf, ValueError } from "@graft/tensor";
import * as weightFormats from "@graft/tensor/formats";
import { describe, expect, test } from "vitest";
import { bnb8bitTensors } from "../../src/bnb8bit.ts";
import { dequantize } from "../../src/dequantize.ts";
import { deviceFormOf } from "../../src/deviceForm.ts";
import { int4Tensors } from "../../src/files/int4File.ts";
import { openPackedFile } from "../../src/files/packedFile.ts";
import {
  type QuantizationConfig,
  readQuantizationConfig,
  writeQuantizationConfig,
} from "../../src/files/quantizationConfig.ts";
import { blockFormats, type GgufPacked } from "../../src/ggufBlocks.ts";
import { int4, int8 } from "../../src/schemes/index.ts";

const runs = Number(process.env.GRAFT_FUZZ_RUNS ?? 3000);
const timeout = 30_000 + runs * 5;

/** xorshift32: the same changes in every run. */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

describe("blocks of GGUF", () => {
  test("every format of blocks is tried", () => {
    const blocks = Object.values(weightFormats).filter(({ blockSize }) => blockSize > 1);
    expect([...blockFormats.keys()].sort()).toEqual(blocks.map(({ name }) => name).sort());
  });

  test.each([...blockFormats.values()])(
    "$name: any header is refused as ValueError, or its values are finite",
    (format) => {
      const below = random(7);
      // Halves that matter: zeros, the largest, infinities, NaN, the smallest, one.
      const halves = [0x0000, 0x8000, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01, 0x7c01, 0x0001, 0x3c00];
      const counts = { accepted: 0, refused: 0 };
      for (let run = 0; run < runs / blockFormats.size; run++) {
        const blocks = 1 + below(3);
        const bytes = new Uint8Array(blocks * format.blockBytes).map(() => below(256));
        // Scales lie in the first four bytes or, of Q6_K, in the last two.
        for (let block = 0; block < blocks; block++)
          for (const at of [0, 2, format.blockBytes - 2]) {
            const half = halves[below(halves.length)] ^ (below(30) === 0 ? 1 << below(16) : 0);
            const from = block * format.blockBytes + at;
            if (below(3) > 0) bytes.set([half & 255, half >>> 8], from);
            else bytes.set([bytes[from], bytes[from + 1] & 0x3f], from);
          }
        const wrong = below(20) === 0;
        const packed: GgufPacked = {
          scheme: format.name,
          shape: [blocks, format.blockSize],
          bytes: wrong ? bytes.subarray(below(2), bytes.length - below(5)) : bytes,
        };
        try {
          const { layout, parts } = deviceFormOf(packed);
          const values = dequantize(packed);
          expect(values).toHaveLength(sizeOf(layout.shape));
          expect(values.every(Number.isFinite)).toBe(true);
          expect(parts.map(({ length }) => length)).toEqual(sizesOf(layout));
          counts.accepted++;
        } catch (error) {
          if (!(error instanceof ValueError)) throw error;
          counts.refused++;
        }
      }
      expect(counts.accepted).toBeGreaterThan(runs / blockFormats.size / 20);
      expect(counts.refused).toBeGreaterThan(runs / blockFormats.size / 20);
    },
    timeout,
  );
});

function sizesOf(layout: ReturnType<typeof deviceFormOf>["layout"]): number[] {
  return layout.format.parts(layout).map(({ size }) => size);
}

const weights = Float32Array.from({ length: 7 * 13 }, (_, i) => Math.sin(i * i));

describe.each([
  ["int8", () => bnb8bitTensors("a.weight", int8.quantize(weights, [7, 13]))],
  ["int4", () => int4Tensors("a.weight", int4.quantize(weights, [7, 13]))],
] as const)("files of %s", (scheme, tensorsOf) => {
  test(
    "are refused as CheckpointError, or their values are finite and of their shape",
    async () => {
      const below = random(scheme === "int8" ? 11 : 13);
      const bits = [0x00, 0x01, 0x7f, 0x80, 0xff];
      const config: QuantizationConfig = {
        scheme,
        doubleQuant: false,
        skipModules: undefined,
        computeDtype: "float32",
      };
      const counts = { accepted: 0, refused: 0 };
      for (let run = 0; run < runs / 5; run++) {
        const changed = tensorsOf()
          .filter(() => below(25) > 0)
          .map((tensor): SafetensorsTensor => {
            if (below(2) > 0) return tensor;
            const bytes = tensor.bytes.slice();
            for (let i = 1 + below(3); i > 0; i--) bytes[below(bytes.length)] = bits[below(bits.length)];
            const shape = below(15) === 0 ? [sizeOf(tensor.shape)] : tensor.shape;
            return { ...tensor, bytes, shape };
          });
        const opened = await openSafetensors(bytesSource(serializeSafetensors(changed)));
        try {
          const file = await openPackedFile(opened, config);
          const packed = await file.read("a.weight");
          deviceFormOf(packed);
          const values = dequantize(packed);
          expect(values).toHaveLength(sizeOf(packed.shape));
          expect(values.every(Number.isFinite)).toBe(true);
          counts.accepted++;
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
          counts.refused++;
        }
      }
      expect(counts.accepted).toBeGreaterThan(runs / 50);
      expect(counts.refused).toBeGreaterThan(runs / 50);
    },
    timeout,
  );
});

test(
  "a quantization_config with any change is understood or refused as CheckpointError",
  () => {
    const below = random(17);
    const whole = (["nf4", "fp4", "int8", "int4"] as const).map((scheme) =>
      writeQuantizationConfig({ scheme }),
    );
    const values: unknown[] = [
      null,
      true,
      false,
      0,
      -1,
      6.5,
      "nf4",
      "fp4",
      "float16",
      [],
      ["x"],
      [1],
      {},
      undefined,
    ];
    const keys = [
      ...new Set(whole.flatMap((json) => Object.keys(json))),
      "llm_int8_threshold",
      "bits",
      "__proto__",
    ];
    const counts = { accepted: 0, refused: 0 };
    for (let run = 0; run < runs; run++) {
      const json: Record<string, unknown> = { ...whole[below(whole.length)] };
      for (let edits = 1 + below(3); edits > 0; edits--) {
        const key = keys[below(keys.length)];
        if (below(4) === 0) delete json[key];
        else
          Object.defineProperty(json, key, {
            value: values[below(values.length)],
            enumerable: true,
            configurable: true,
            writable: true,
          });
      }
      try {
        const config = readQuantizationConfig({
          quantization_config: below(50) === 0 ? values[below(values.length)] : json,
        });
        expect(["nf4", "fp4", "int8", "int4", undefined]).toContain(config?.scheme);
        counts.accepted++;
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        counts.refused++;
      }
    }
    expect(counts.accepted).toBeGreaterThan(runs / 20);
    expect(counts.refused).toBeGreaterThan(runs / 4);
  },
  timeout,
);
