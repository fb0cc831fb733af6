import { FrozenParameter } from "@graft/nn";
import {
  type Device,
  fromBits,
  noGrad,
  type PackedLayout,
  type PackedMatrix,
  scope,
  sizeOf,
  type Tensor,
} from "@graft/tensor";
import { deviceFormOf, packedOf } from "./deviceForm.ts";
import { type QuantizeOptions, quantize } from "./quantize.ts";
import type { DeviceForm, Packed } from "./scheme.ts";

/** A packed matrix that lives as long as the module that owns it. */
export interface OwnedMatrix extends PackedMatrix {
  readonly layout: PackedLayout;
  readonly parts: readonly FrozenParameter[];
}

/** Puts packed weights on a device, as they are. The first part, the codes, counts as the weights. */
export function ownedMatrix(packed: Packed, device: Device): OwnedMatrix {
  const { layout, parts } = deviceFormOf(packed);
  const count = sizeOf(layout.shape);
  const made = noGrad(() =>
    parts.map((part, i) => {
      const dtype = part instanceof Float32Array ? "f32" : "u32";
      return scope(
        () => new FrozenParameter(fromBits(device, part, [part.length], { dtype }), i === 0 ? count : 0),
      );
    }),
  );
  return { layout, parts: made };
}

/**
 * Packs a tensor of any float type on its device: the values are read back, packed on the host, where every scheme has the bits of
 * those that it follows, and put back. `unpackWeight` is the way back; dispose of the parts when they are not needed.
 *
 * @param x - `[rows, columns]`
 */
export async function packTensor(x: Tensor, options: QuantizeOptions): Promise<OwnedMatrix> {
  const values = await x.toArray();
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  return ownedMatrix(quantize(floats, x.shape, options), x.device);
}

/** The packed weights on the host, bit for bit. */
export async function readMatrix({ layout, parts }: PackedMatrix): Promise<Packed> {
  const host: DeviceForm["parts"][number][] = [];
  for (const part of parts) {
    const values = await part.toArray();
    host.push(values instanceof Float32Array ? values : Uint32Array.from(values));
  }
  return packedOf({ layout, parts: host });
}

/** The parts as properties of a module, under their names, so that they are found as its parameters. */
export function adopt(module: object, { layout, parts }: OwnedMatrix): void {
  for (const [i, { name }] of layout.format.parts(layout).entries()) Reflect.set(module, name, parts[i]);
}

/** Bytes of all parts. */
export function matrixBytes({ layout }: PackedMatrix): number {
  return layout.format.parts(layout).reduce((sum, { size }) => sum + 4 * size, 0);
}
