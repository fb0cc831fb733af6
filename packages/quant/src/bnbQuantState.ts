import { integerOf, type Json, JsonNumber, parseStrictJson, quote, showJson } from "@graft/nn/checkpoint";
import type { Shape } from "@graft/tensor";
import { nestedBlockSize } from "./doubleQuant.ts";
import { nf4 } from "./schemes/nf4.ts";

/** PyTorch's names, as they stand in files. */
export type FloatName = "float32" | "float16" | "bfloat16";

/** What the JSON of a `quant_state` says. */
export interface QuantState {
  readonly blockSize: number;
  readonly dtype: FloatName;
  readonly shape: Shape;
  readonly nested?: { readonly offset: number };
}

const dtypes: readonly FloatName[] = ["float32", "float16", "bfloat16"];
const plainKeys = ["quant_type", "blocksize", "dtype", "shape"];
const nestedKeys = ["nested_blocksize", "nested_dtype", "nested_offset"];
const maxAxes = 8;

/**
 * Parses the JSON that bitsandbytes packs into a tensor. Its keys are exactly the known ones.
 *
 * @param kind - what the tensor's name says
 * @param fail - makes the error from a description such as `"must be JSON, ..."`
 */
export function parseQuantState(
  bytes: Uint8Array,
  kind: string,
  fail: (problem: string) => Error,
): QuantState {
  const json = parseStrictJson(decodeUtf8(bytes, fail), fail);
  if (!(json instanceof Map)) throw fail(`must be a JSON object, got ${showJson(json)}`);
  const nested = nestedKeys.some((key) => json.has(key));
  const keys = nested ? [...plainKeys, ...nestedKeys] : plainKeys;
  const missing = keys.find((key) => !json.has(key));
  if (missing !== undefined) throw fail(`must have the key ${quote(missing)}`);
  for (const key of json.keys()) if (!keys.includes(key)) throw fail(`must not have the key ${quote(key)}`);

  const oneOf = <T>(key: string, allowed: readonly T[], given: unknown): T => {
    const found = allowed.find((item) => item === given);
    if (found === undefined)
      throw fail(`${key} must be ${allowed.join(", ")}, got ${showJson(json.get(key))}`);
    return found;
  };
  oneOf("quant_type", [kind], json.get("quant_type"));
  const state = {
    blockSize: oneOf("blocksize", nf4.options.blockSize, integerOf(json.get("blocksize"))),
    dtype: oneOf("dtype", dtypes, json.get("dtype")),
    shape: shapeOf(json.get("shape"), fail),
  };
  if (!nested) return state;
  oneOf("nested_blocksize", [nestedBlockSize], integerOf(json.get("nested_blocksize")));
  oneOf("nested_dtype", ["float32"], json.get("nested_dtype"));
  const offset = json.get("nested_offset");
  const value = offset instanceof JsonNumber ? Math.fround(Number(offset.literal)) : NaN;
  if (!Number.isFinite(value)) throw fail(`nested_offset must be a finite float32, got ${showJson(offset)}`);
  return { ...state, nested: { offset: value } };
}

function shapeOf(json: Json | undefined, fail: (problem: string) => Error): Shape {
  const shape = Array.isArray(json) && json.length <= maxAxes ? json.map(integerOf) : [];
  const sizes = shape.filter((dim) => dim !== undefined && dim > 0);
  // Sizes are at least 1, so that a product that was rounded on the way stays too large.
  const product = sizes.reduce((all: number, dim) => all * Number(dim), 1);
  if (shape.length === 0 || sizes.length !== shape.length || !(product <= Number.MAX_SAFE_INTEGER))
    throw fail(`shape must be sizes of at least 1 whose product is exact, got ${showJson(json)}`);
  return sizes.map(Number);
}

function decodeUtf8(bytes: Uint8Array, fail: (problem: string) => Error): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("must be UTF-8");
  }
}
