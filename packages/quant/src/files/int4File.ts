import { CheckpointError, quote, type SafetensorsFile, type SafetensorsTensor } from "@graft/nn/checkpoint";
import { type Shape, show, sizeOf } from "@graft/tensor";
import type { Int4Packed } from "../schemes/int4.ts";
import { int4GroupSize } from "./quantizationConfig.ts";

/** The names of the weights that Graft stored as INT4: those with `scale` and `shape` below them. */
export function int4Names(file: SafetensorsFile): string[] {
  return [...file.tensors.keys()]
    .filter((name) => name.endsWith(".scale") && file.tensors.has(`${name.slice(0, -".scale".length)}.shape`))
    .map((name) => name.slice(0, -".scale".length));
}

/** The shape of a weight. @throws CheckpointError where it is none */
export async function readInt4Shape(file: SafetensorsFile, name: string): Promise<Shape> {
  const entry = file.tensors.get(`${name}.shape`);
  if (entry?.dtype !== "I32" || show(entry.shape) !== "[2]")
    throw failing(file, name)(`shape must be I32 [2], got ${entry ? describe(entry) : "nothing"}`);
  const { buffer, byteOffset } = await file.readBytes(`${name}.shape`);
  const shape = [...new Int32Array(buffer, byteOffset, 2)];
  if (!shape.every((dim) => dim > 0)) throw failing(file, name)(`shape must be positive, got ${show(shape)}`);
  return shape;
}

/**
 * Reads one weight: codes U8 `[⌈n/2⌉, 1]`, `scale` F32 `[⌈n/64⌉]`, `shape` I32 `[2]`.
 *
 * @throws CheckpointError that names the file, the weight and what is wrong with it
 */
export async function readInt4(file: SafetensorsFile, name: string): Promise<Int4Packed> {
  const fail = failing(file, name);
  const shape = await readInt4Shape(file, name);
  const count = sizeOf(shape);
  const part = async (own: string, dtype: string, expected: Shape): Promise<Uint8Array> => {
    const entry = file.tensors.get(own);
    if (entry?.dtype !== dtype || show(entry.shape) !== show(expected))
      throw fail(
        `${quote(own)} must be ${dtype} ${show(expected)}, got ${entry ? describe(entry) : "nothing"}`,
      );
    return (await file.readBytes(own)).slice();
  };
  const codes = await part(name, "U8", [Math.ceil(count / 2), 1]);
  const scaleBytes = await part(`${name}.scale`, "F32", [Math.ceil(count / int4GroupSize)]);
  const scale = new Float32Array(scaleBytes.buffer);
  const bad = scale.findIndex((value) => !(value >= 0 && value < largestScale));
  if (bad >= 0) throw fail(`scale ${bad} must be from 0 to 2^125, got ${scale[bad]}`);
  return { scheme: "int4", shape, groupSize: int4GroupSize, codes, scale };
}

/** Eight times as much is no float32 any more. */
const largestScale = 2 ** 125;

/** The tensors of one weight. */
export function int4Tensors(
  name: string,
  { shape, groupSize, codes, scale }: Int4Packed,
): SafetensorsTensor[] {
  if (groupSize !== int4GroupSize)
    throw new CheckpointError("int4Tensors", `groups must be of ${int4GroupSize}, got ${groupSize}.`);
  const sizes = Int32Array.from(shape);
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
    new Uint8Array(buffer, byteOffset, byteLength);
  return [
    { name, dtype: "U8", shape: [codes.length, 1], bytes: codes },
    { name: `${name}.scale`, dtype: "F32", shape: [scale.length], bytes: bytes(scale) },
    { name: `${name}.shape`, dtype: "I32", shape: [2], bytes: bytes(sizes) },
  ];
}

function failing(file: SafetensorsFile, name: string): (problem: string) => Error {
  return (problem) => new CheckpointError("readInt4", `${file.name}: ${quote(name)}: ${problem}.`);
}

function describe({ dtype, shape }: { readonly dtype: string; readonly shape: readonly number[] }): string {
  return `${dtype} ${show(shape)}`;
}
