import {
  CheckpointError,
  quote,
  type SafetensorsDtype,
  type SafetensorsFile,
  type SafetensorsTensor,
} from "@graft/nn/checkpoint";
import { type Shape, show, sizeOf } from "@graft/tensor";
import { type FloatName, parseQuantState, type QuantState } from "./bnbQuantState.ts";
import type { CodebookPacked } from "./codebook.ts";
import { dequantizeAbsmax, dynamicMap, type NestedAbsmax, nestedBlockSize } from "./doubleQuant.ts";
import { fp4 } from "./schemes/fp4.ts";
import { nf4 } from "./schemes/nf4.ts";

/** A weight as bitsandbytes' Linear4bit saves it. */
export interface Bnb4bitWeight {
  readonly packed: CodebookPacked;
  /** What the weights were before, and what bitsandbytes rounds dequantized values to. */
  readonly dtype: FloatName;
}

type Fail = (problem: string) => Error;

const mark = ".quant_state.bitsandbytes__";
const parts = ["absmax", "quant_map", "nested_absmax", "nested_quant_map"];

/** The names of the weights that are stored in 4 bits, for example `"model.layers.0.mlp.up_proj.weight"`. */
export function bnb4bitNames(file: SafetensorsFile): string[] {
  const names = [...file.tensors.keys()].filter((name) => name.includes(mark));
  return [...new Set(names.map((name) => name.slice(0, name.indexOf(mark))))];
}

/** What the quant_state of a weight says, and which of the two kinds it is. */
export interface Bnb4bitState extends QuantState {
  readonly kind: "nf4" | "fp4";
}

/** Reads what describes a weight, not the weight. @throws CheckpointError as `readBnb4bit` */
export async function readBnb4bitState(file: SafetensorsFile, name: string): Promise<Bnb4bitState> {
  const fail = failing(file, name);
  const { stateName, kind } = findState(file, name, fail);
  const text = await readPart(file, stateName, "U8", undefined, fail);
  const state = parseQuantState(text, kind, (problem) => fail(`quant_state ${problem}`));
  checkNames(file, name, stateName, state, fail);
  return { ...state, kind };
}

/**
 * Reads one weight with its state, checked so that nothing can be read out of range and no value is infinite. The codes
 * may be stored as any dtype (`bnb_4bit_quant_storage`): the bytes are the same.
 *
 * @throws CheckpointError that names the file, the weight and what is wrong with it
 * @see bitsandbytes `functional.py`, QuantState.from_dict
 */
export async function readBnb4bit(file: SafetensorsFile, name: string): Promise<Bnb4bitWeight> {
  const fail = failing(file, name);
  const { kind, ...state } = await readBnb4bitState(file, name);

  const count = sizeOf(state.shape);
  const blocks = Math.ceil(count / state.blockSize);
  const codes = await readCodes(file, name, Math.ceil(count / 2), fail);
  checkMap(await readFloats(file, `${name}.quant_map`, [16], fail), tableOf(kind), "quant_map", fail);
  const absmax = await (state.nested === undefined
    ? readFloats(file, `${name}.absmax`, [blocks], fail)
    : readNested(file, name, blocks, state.nested.offset, fail));
  checkScales(absmax, fail);
  return {
    packed: { scheme: kind, shape: state.shape, blockSize: state.blockSize, codes: codes.slice(), absmax },
    dtype: state.dtype,
  };
}

/** The tensors that bitsandbytes and transformers read back: codes, scales, tables and their description. */
export function bnb4bitTensors(
  name: string,
  { scheme, shape, blockSize, codes, absmax }: CodebookPacked,
  dtype: FloatName = "float32",
): SafetensorsTensor[] {
  const tensor = (
    part: string,
    kind: SafetensorsDtype,
    partShape: Shape,
    { buffer, byteOffset, byteLength }: ArrayBufferView,
  ): SafetensorsTensor => ({
    name: `${name}${part}`,
    dtype: kind,
    shape: partShape,
    bytes: new Uint8Array(buffer, byteOffset, byteLength),
  });
  const nested = absmax instanceof Float32Array ? undefined : absmax;
  const state = {
    quant_type: scheme,
    blocksize: blockSize,
    dtype,
    shape,
    ...(nested && {
      nested_blocksize: nestedBlockSize,
      nested_dtype: "float32",
      nested_offset: nested.offset,
    }),
  };
  const json = new TextEncoder().encode(JSON.stringify(state));
  const tensors = [
    tensor("", "U8", [codes.length, 1], codes),
    tensor(".quant_map", "F32", [16], tableOf(scheme)),
    tensor(`${mark}${scheme}`, "U8", [json.length], json),
  ];
  if (absmax instanceof Float32Array) return [...tensors, tensor(".absmax", "F32", [absmax.length], absmax)];
  return [
    ...tensors,
    tensor(".absmax", "U8", [absmax.codes.length], absmax.codes),
    tensor(".nested_absmax", "F32", [absmax.absmax.length], absmax.absmax),
    tensor(".nested_quant_map", "F32", [256], dynamicMap),
  ];
}

function failing(file: SafetensorsFile, name: string): Fail {
  return (problem) => new CheckpointError("readBnb4bit", `${file.name}: ${quote(name)}: ${problem}.`);
}

/** Bytes of the dtypes that bitsandbytes stores codes as. */
const storages: ReadonlyMap<SafetensorsDtype, number> = new Map([
  ["U8", 1],
  ["I8", 1],
  ["F16", 2],
  ["BF16", 2],
  ["F32", 4],
  ["F64", 8],
]);

async function readCodes(
  file: SafetensorsFile,
  name: string,
  bytes: number,
  fail: Fail,
): Promise<Uint8Array> {
  const dtype = file.tensors.get(name)?.dtype ?? "U8";
  const size = storages.get(dtype);
  if (size === undefined || bytes % size !== 0) return readPart(file, name, "U8", [bytes, 1], fail);
  return readPart(file, name, dtype, [bytes / size, 1], fail);
}

function findState(
  file: SafetensorsFile,
  name: string,
  fail: Fail,
): { stateName: string; kind: "nf4" | "fp4" } {
  const states = [...file.tensors.keys()].filter((key) => key.startsWith(`${name}.quant_state.`));
  if (states.length !== 1) throw fail(`there must be one quant_state for the weight, got ${states.length}`);
  const [stateName] = states;
  const kind = stateName.slice(name.length + mark.length);
  if (!stateName.startsWith(`${name}${mark}`) || (kind !== "nf4" && kind !== "fp4"))
    throw fail(`quant_state must be named bitsandbytes__nf4 or bitsandbytes__fp4, got ${quote(stateName)}`);
  return { stateName, kind };
}

/** Nothing that belongs to the weight may be left unread. */
function checkNames(
  file: SafetensorsFile,
  name: string,
  stateName: string,
  state: QuantState,
  fail: Fail,
): void {
  const known = new Set([
    stateName,
    ...parts.slice(0, state.nested ? 4 : 2).map((part) => `${name}.${part}`),
  ]);
  for (const key of file.tensors.keys())
    if (key.startsWith(`${name}.`) && !known.has(key)) throw fail(`there must be no ${quote(key)} beside it`);
}

async function readPart(
  file: SafetensorsFile,
  name: string,
  dtype: SafetensorsDtype,
  shape: Shape | undefined,
  fail: Fail,
): Promise<Uint8Array> {
  const entry = file.tensors.get(name);
  if (entry === undefined) throw fail(`${quote(name)} is missing`);
  if (entry.dtype !== dtype) throw fail(`${quote(name)} must be ${dtype}, got ${entry.dtype}`);
  if (shape !== undefined && show(entry.shape) !== show(shape))
    throw fail(`${quote(name)} must be ${show(shape)}, got ${show(entry.shape)}`);
  if (shape === undefined && entry.end - entry.begin > maxStateBytes)
    throw fail(`${quote(name)} must be at most ${maxStateBytes} bytes long, got ${entry.end - entry.begin}`);
  return file.readBytes(name);
}

// A state is some 170 bytes long.
const maxStateBytes = 4096;

/** A copy, because what a file gives may be a view of it. */
async function readFloats(
  file: SafetensorsFile,
  name: string,
  shape: Shape,
  fail: Fail,
): Promise<Float32Array> {
  return new Float32Array((await readPart(file, name, "F32", shape, fail)).slice().buffer);
}

async function readNested(
  file: SafetensorsFile,
  name: string,
  blocks: number,
  offset: number,
  fail: Fail,
): Promise<NestedAbsmax> {
  const codes = await readPart(file, `${name}.absmax`, "U8", [blocks], fail);
  const shape = [Math.ceil(blocks / nestedBlockSize)];
  const absmax = await readFloats(file, `${name}.nested_absmax`, shape, fail);
  checkMap(
    await readFloats(file, `${name}.nested_quant_map`, [256], fail),
    dynamicMap,
    "nested_quant_map",
    fail,
  );
  return { codes: codes.slice(), absmax, offset };
}

function tableOf(scheme: string): Float32Array {
  const every = Uint8Array.of(0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef);
  const packed = { scheme, shape: [16], blockSize: 64, codes: every, absmax: Float32Array.of(1) };
  return (scheme === "nf4" ? nf4 : fp4).dequantize(packed);
}

/** The table is not taken from the file: another one would be another scheme. Machines differ in the last bit of it. */
function checkMap(map: Float32Array, expected: Float32Array, what: string, fail: Fail): void {
  const bad = map.findIndex(
    (value, i) => !(Math.abs(value - expected[i]) <= Math.abs(expected[i]) * 2 ** -22),
  );
  if (bad >= 0)
    throw fail(`${what} must be bitsandbytes' own, got ${map[bad]} for ${expected[bad]} at ${bad}`);
}

/** No scale may be NaN or infinite, stored or put together; a nested one may come out slightly below zero. */
function checkScales(absmax: Float32Array | NestedAbsmax, fail: Fail): void {
  const stored = absmax instanceof Float32Array ? absmax : absmax.absmax;
  const bad = stored.findIndex((value) => !(value >= 0 && value < Infinity));
  if (bad >= 0) throw fail(`absmax ${bad} must be finite and not negative, got ${stored[bad]}`);
  if (absmax instanceof Float32Array) return;
  const scales = dequantizeAbsmax(absmax);
  const large = scales.findIndex((value) => !Number.isFinite(value));
  if (large >= 0) throw fail(`the scale of block ${large} must be finite, got ${scales[large]}`);
}
