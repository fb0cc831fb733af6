import { readFileSync } from "node:fs";
import type { DType, Shape } from "@graft/tensor";

const folder = new URL("../../../../tools/golden/data/ops/", import.meta.url);

/** A tensor of a fixture, as PyTorch computed it. */
export interface Golden {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly values: Float64Array | Int32Array | Uint8Array;
}

/** One call of an operation: its number of inputs, its options, and what is worth knowing. */
export interface GoldenCase {
  readonly inputs: number;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly note?: string;
}

interface Index {
  readonly ops: Readonly<Record<string, { readonly file: string; readonly cases: readonly GoldenCase[] }>>;
}

export function goldenIndex(): Index {
  return JSON.parse(readFileSync(new URL("ops.json", folder), "utf8"));
}

/** The tensors of a fixture by name. A reader for our own files only; `@graft/nn` has the strict one, which tensor cannot import. */
export function readFixture(file: string): (name: string) => Golden | undefined {
  const bytes = readFileSync(new URL(file, folder));
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> =
    JSON.parse(bytes.subarray(8, start).toString());
  return (name) => {
    if (!Object.hasOwn(header, name)) return undefined;
    const { dtype, shape, data_offsets: offsets } = header[name];
    const { buffer } = new Uint8Array(bytes.subarray(start + offsets[0], start + offsets[1])); // a copy, so aligned
    if (dtype === "F64") return { shape, dtype: "f64", values: new Float64Array(buffer) };
    if (dtype === "I32") return { shape, dtype: "i32", values: new Int32Array(buffer) };
    if (dtype === "BOOL") return { shape, dtype: "bool", values: new Uint8Array(buffer) };
    throw new Error(`${file}: ${name} has the type ${dtype}, which no fixture of ops should have`);
  };
}
