import type { View } from "../../device/device.ts";
import type { TypedArray } from "../../dtype.ts";
import type { Kernel } from "../../ops/kernel.ts";
import { dynamicMap, nestedBlockSize } from "./dynamicMap.ts";
import { bytesOfWords, literal, type PackedFormat, packedCount, wordsFor } from "./packed.ts";

export interface CodebookFormat extends PackedFormat {
  /** The 16 values by code. */
  readonly table: Float32Array;
}

/**
 * 4-bit places in a table of 16 values in [−1, 1], times the absmax of their block: bitsandbytes' nf4 and fp4. Parts: `codes`,
 * two a byte, the first in the high nibble; `absmax`, one for each block. Nested: `absmax` holds bytes, places in `dynamicMap`,
 * and `nested_absmax` a scale for each 256 of them and, last, the offset: `map[byte] · nested_absmax + offset`.
 */
export function codebookFormat(name: string, values: readonly number[]): CodebookFormat {
  const table = Float32Array.from(values);
  return {
    name,
    table,
    blockSizes: [64, 32, 128, 256, 512, 1024, 2048, 4096],
    nests: true,
    columnMultiple: 1,

    parts(layout) {
      const count = packedCount(layout);
      const blocks = Math.ceil(count / layout.blockSize);
      const codes = { name: "codes", dtype: "u32", size: wordsFor(Math.ceil(count / 2)) } as const;
      if (!layout.nested) return [codes, { name: "absmax", dtype: "f32", size: blocks }];
      return [
        codes,
        { name: "absmax", dtype: "u32", size: wordsFor(blocks) },
        { name: "nested_absmax", dtype: "f32", size: Math.ceil(blocks / nestedBlockSize) + 1 },
      ];
    },

    decode({ blockSize, nested }, parts, start, end, out) {
      const codes = bytesOfWords(parts[0]);
      const absmaxOf = nested ? nestedAbsmax(parts) : (block: number) => parts[1][block];
      for (let i = start; i < end; ) {
        const block = Math.floor(i / blockSize);
        const stop = Math.min(end, (block + 1) * blockSize);
        const absmax = absmaxOf(block);
        if (i % 2 === 1) {
          out[i - start] = table[codes[i >>> 1] & 15] * absmax;
          i++;
        }
        for (; i + 1 < stop; i += 2) {
          const pair = codes[i >>> 1];
          out[i - start] = table[pair >>> 4] * absmax;
          out[i - start + 1] = table[pair & 15] * absmax;
        }
        if (i < stop) {
          out[i - start] = table[codes[i >>> 1] >>> 4] * absmax;
          i++;
        }
      }
    },

    wgsl: (b, lanes) => ({
      declare: `${lookup(b, [...table], lanes)}
fn ${b}_at(e: u32) -> f32 { return ${b}_value((${b}_codes_at(e >> 3u) >> (((e & 7u) ^ 1u) << 2u)) & 15u) * ${b}_absmax_at(e >> P.${b}_shift); }
fn ${b}_four(e: u32) -> vec4f {
  let q = (vec4u(${b}_codes_at(e >> 3u) >> ((e & 4u) << 2u)) >> vec4u(4u, 0u, 12u, 8u)) & vec4u(15u);
  return vec4f(${b}_value(q.x), ${b}_value(q.y), ${b}_value(q.z), ${b}_value(q.w)) * ${b}_absmax_at(e >> P.${b}_shift);
}`,
      setup: lanes === 0 ? undefined : tableInLanes(b, lanes),
    }),

    // A scale serves 32 values or more, so it is put together once for a product, not at each of its uses.
    prepare({ nested, blockSize, shape: [rows, columns] }, parts, gpu) {
      const [codes, absmax] = parts;
      if (!nested) return { kernels: [], parts: named(codes, absmax) };
      const blocks = Math.ceil((rows * columns) / blockSize);
      const scales = gpu.scratch("f32", blocks);
      const kernel: Kernel = {
        key: "absmax",
        over: "element",
        count: wordsFor(blocks),
        bindings: [
          { name: "packed", view: absmax, access: "read" },
          { name: "nested", view: parts[2], access: "read" },
          { name: "places", view: gpu.constants(placeWords), access: "read" },
          { name: "scales", view: scales, access: "write" },
        ],
        params: [["blocks", "u32", blocks]],
        // A word has four places.
        main: () => `let places = packed_at(i);
  let scale = nested_at(i >> 6u);
  let offset = nested_at((P.blocks + 255u) >> 8u);
  for (var c = 0u; c < 4u; c++) {
    let place = bitcast<f32>(places_at((places >> (c << 3u)) & 255u));
    if (4u * i + c < P.blocks) { scales_put(4u * i + c, place * scale + offset); }
  }`,
      };
      return { kernels: [kernel], parts: named(codes, scales) };
    },
  };
}

const placeWords = [...new Uint32Array(dynamicMap.buffer)];

const named = (codes: View, absmax: View): [string, View][] => [
  ["codes", codes],
  ["absmax", absmax],
];

/** Rounded as bitsandbytes does: the product to float32, then the sum. */
function nestedAbsmax([, packed, nested]: readonly TypedArray[]): (block: number) => number {
  const codes = bytesOfWords(packed);
  const offset = nested[nested.length - 1];
  return (block) =>
    Math.fround(Math.fround(dynamicMap[codes[block]] * nested[Math.floor(block / nestedBlockSize)]) + offset);
}

/** `<b>_value(code)`: by choices between constants, or, where there are lanes, out of their registers. */
function lookup(b: string, table: readonly number[], lanes: number): string {
  const tree = `fn ${b}_entry(q: u32) -> f32 {
  let b0 = (q & 1u) != 0u; let b1 = (q & 2u) != 0u; let b2 = (q & 4u) != 0u; let b3 = (q & 8u) != 0u;
  ${pairs(8)
    .map((i) => `let s${i} = select(${literal(table[2 * i])}, ${literal(table[2 * i + 1])}, b0);`)
    .join(" ")}
  ${pairs(4)
    .map((i) => `let u${i} = select(s${2 * i}, s${2 * i + 1}, b1);`)
    .join(" ")}
  return select(select(u0, u1, b2), select(u2, u3, b2), b3);
}`;
  if (lanes === 0) return `${tree}\nfn ${b}_value(q: u32) -> f32 { return ${b}_entry(q); }`;
  const size = Math.min(lanes, 16);
  const registers = pairs(16 / size);
  const found = registers
    .map((r) => `subgroupShuffle(${b}_held${r}, q & ${size - 1}u)`)
    .reduceRight((rest, value, r) => `select(${rest}, ${value}, q < ${(r + 1) * size}u)`);
  return `${tree}
${registers.map((r) => `var<private> ${b}_held${r}: f32;`).join("\n")}
fn ${b}_value(q: u32) -> f32 { return ${found}; }`;
}

function tableInLanes(b: string, lanes: number): string {
  const size = Math.min(lanes, 16);
  return pairs(16 / size)
    .map((r) => `${b}_held${r} = ${b}_entry((sub & ${size - 1}u) + ${r * size}u);`)
    .join(" ");
}

const pairs = (count: number): number[] => [...Array(count).keys()];
