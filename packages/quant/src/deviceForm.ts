import { ValueError } from "@graft/tensor";
import { schemeNamed } from "./dequantize.ts";
import { blockFormats, type GgufPacked, ggufFromDevice, ggufToDevice } from "./ggufBlocks.ts";
import type { DeviceForm, Packed } from "./scheme.ts";

/**
 * Packed weights as a device keeps them, still on the host.
 *
 * @param packed - of any scheme, or GGUF blocks of any format that kernels can read; with two axes
 * @throws ValueError for a scheme without a form on the device, arrays of a wrong length, and scales that are not finite
 */
export function deviceFormOf(packed: Packed): DeviceForm {
  const { scheme, shape } = packed;
  const blocks = blockFormats.get(scheme);
  const form = blocks ? ggufToDevice(packed as GgufPacked) : schemeNamed(scheme).toDevice(packed);
  for (const [i, { name, size }] of form.layout.format.parts(form.layout).entries())
    if (form.parts[i].length !== size)
      throw new ValueError(
        scheme,
        `${name} must take ${size} words for [${shape.join(", ")}], got ${form.parts[i].length}.`,
      );
  blocks?.validate((packed as GgufPacked).bytes);
  return form;
}

/** The inverse of `deviceFormOf`, bit for bit. */
export function packedOf(form: DeviceForm): Packed {
  const { name } = form.layout.format;
  return blockFormats.has(name) ? ggufFromDevice(form) : schemeNamed(name).fromDevice(form);
}
