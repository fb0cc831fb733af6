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
 * @param options.dtype - rounds to it, and every value must be finite in it. Default: each as it is stored, unseen
 */
export function modelTensors(model: Module, { dtype }: { dtype?: WeightDtype } = {}): LazyTensor[] {
  return [...model.namedParameters()].map(([name, parameter]) => {
    const own = dtype ?? weightDtypeOf(name, parameter);
    return {
      name,
      dtype: fileDtype[own],
      shape: parameter.shape,
      bytes: async () => {
        const asStored = dtype === undefined && parameter.dtype === own;
        const bits = asStored ? await parameter.toBits() : weightBits(name, await parameter.toArray(), own);
        return new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
      },
    };
  });
}

function weightDtypeOf(name: string, { dtype }: Parameter): WeightDtype {
  if (dtype === "f32" || dtype === "f16" || dtype === "bf16") return dtype;
  if (isFloat(dtype)) return "f32";
  throw new CheckpointError("modelTensors", `${name} must be of a float type, got ${dtype}.`);
}

/** Bits of the exponent: all set means infinity or not-a-number. */
const exponent = { f32: 0x7f80_0000, f16: 0x7c00, bf16: 0x7f80 } as const;

/** Values as they are stored in a file. @throws CheckpointError where one is not finite in that type */
export function weightBits(
  name: string,
  values: ArrayLike<number>,
  dtype: WeightDtype,
): Float32Array | Uint16Array {
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  const stored = dtype === "f32" ? floats : dtype === "f16" ? f32ToF16(floats) : f32ToBf16(floats);
  const bits =
    stored instanceof Uint16Array ? stored : new Uint32Array(stored.buffer, stored.byteOffset, stored.length);
  const mask = exponent[dtype];
  const at = bits.findIndex((value) => (value & mask) === mask);
  if (at < 0) return stored;
  const problem = Number.isFinite(floats[at])
    ? `must fit in ${dtype}, got ${floats[at]} at place ${at}. Use bf16 or f32, which reach further.`
    : `must be finite, got ${floats[at]} at place ${at}. The model or an adapter is damaged.`;
  throw new CheckpointError("modelTensors", `${name} ${problem}`);
}
