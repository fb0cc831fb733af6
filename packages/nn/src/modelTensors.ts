import { f32ToBf16, f32ToF16, isFloat } from "@graft/tensor";
import type { LazyTensor } from "./checkpoint/safetensorsWriter.ts";
import { CheckpointError } from "./errors.ts";
import type { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";

/** Floating-point types in which weights are written. */
export type WeightDtype = "f32" | "f16" | "bf16";

const fileDtype = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/**
 * The parameters of a model for `safetensorsChunks` or `serializeSafetensors`, under their names. Each is read from the
 * device when its turn comes. One that is shared (a tied head) is there once, under its first name.
 * @param options.dtype - rounds to it; default: each as it is stored. A finite value that it cannot hold is an error
 */
export function modelTensors(model: Module, { dtype }: { dtype?: WeightDtype } = {}): LazyTensor[] {
  return [...model.namedParameters()].map(([name, parameter]) => {
    const own = dtype ?? weightDtypeOf(name, parameter);
    return {
      name,
      dtype: fileDtype[own],
      shape: parameter.shape,
      bytes: () => bytesOf(name, parameter, own),
    };
  });
}

function weightDtypeOf(name: string, { dtype }: Parameter): WeightDtype {
  if (dtype === "f32" || dtype === "f16" || dtype === "bf16") return dtype;
  if (isFloat(dtype)) return "f32";
  throw new CheckpointError("modelTensors", `${name} must be of a float type, got ${dtype}.`);
}

async function bytesOf(name: string, parameter: Parameter, dtype: WeightDtype): Promise<Uint8Array> {
  const bits =
    parameter.dtype === dtype ? await parameter.toBits() : rounded(name, await parameter.toArray(), dtype);
  return new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
}

function rounded(name: string, values: ArrayLike<number>, dtype: WeightDtype): Float32Array | Uint16Array {
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  if (dtype === "f32") return floats;
  const bits = dtype === "f16" ? f32ToF16(floats) : f32ToBf16(floats);
  const mask = dtype === "f16" ? 0x7c00 : 0x7f80;
  const at = bits.findIndex((value, i) => (value & mask) === mask && Number.isFinite(floats[i]));
  if (at >= 0)
    throw new CheckpointError(
      "modelTensors",
      `${name} must fit in ${dtype}, got ${floats[at]} at place ${at}. Use another dtype.`,
    );
  return bits;
}
