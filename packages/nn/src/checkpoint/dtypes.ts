/**
 * Bits per element of every safetensors dtype. The order is the reference's: files hold their tensors by descending
 * place in this list, so the widest come first and all are aligned.
 */
const bitsOf = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDtype = keyof typeof bitsOf;

const order = Object.keys(bitsOf);

export function isSafetensorsDtype(name: string): name is SafetensorsDtype {
  return Object.hasOwn(bitsOf, name);
}

/** Place in the file order: higher comes first. */
export function rankOf(dtype: SafetensorsDtype): number {
  return order.indexOf(dtype);
}

/**
 * Bytes of a tensor; undefined where the sizes are no safe integers or the last value ends inside a byte.
 *
 * @param shape - non-negative integers; `[]` is one value
 */
export function byteLengthOf(dtype: SafetensorsDtype, shape: readonly number[]): number | undefined {
  let bits: number = bitsOf[dtype];
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined;
    bits *= size;
    if (!Number.isSafeInteger(bits)) return undefined;
  }
  return bits % 8 === 0 ? bits / 8 : undefined;
}
