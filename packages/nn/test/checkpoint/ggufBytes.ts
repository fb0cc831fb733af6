/** Writes GGUF files for the tests: straight from the format's description, sharing no code with the reader. */
export type Value =
  | { readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64"; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly of: Value["type"]; readonly value: readonly Value[] };

export interface Tensor {
  readonly name: string;
  /** In file order: fastest axis first. */
  readonly dims: readonly (number | bigint)[];
  readonly type: number;
  /** Where the data begins; the running padded sum when left out. */
  readonly offset?: bigint;
  readonly bytes: Uint8Array;
}

export interface Plan {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: bigint;
  readonly keyCount?: bigint;
  readonly alignment?: number;
  readonly keys?: readonly (readonly [string, Value])[];
  readonly tensors?: readonly Tensor[];
}

export const typeIds: Record<Value["type"], number> = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};

export function ggufBytes(plan: Plan): Uint8Array {
  const out: number[] = [];
  const scratch = new DataView(new ArrayBuffer(8));
  const push = (length: number): void => {
    for (let i = 0; i < length; i++) out.push(scratch.getUint8(i));
  };
  const u32 = (value: number): void => {
    scratch.setUint32(0, value, true);
    push(4);
  };
  const u64 = (value: bigint): void => {
    scratch.setBigUint64(0, value, true);
    push(8);
  };
  const string = (text: string): void => {
    const bytes = new TextEncoder().encode(text);
    u64(BigInt(bytes.length));
    out.push(...bytes);
  };
  const emit = (item: Value): void => {
    switch (item.type) {
      case "u8":
      case "i8":
        out.push(item.value & 0xff);
        break;
      case "bool":
        out.push(item.value ? 1 : 0);
        break;
      case "u16":
      case "i16":
        scratch.setUint16(0, item.value & 0xffff, true);
        push(2);
        break;
      case "u32":
      case "i32":
        u32(item.value >>> 0);
        break;
      case "f32":
        scratch.setFloat32(0, item.value, true);
        push(4);
        break;
      case "f64":
        scratch.setFloat64(0, item.value, true);
        push(8);
        break;
      case "u64":
      case "i64":
        u64(BigInt.asUintN(64, item.value));
        break;
      case "string":
        string(item.value);
        break;
      case "array":
        u32(typeIds[item.of]);
        u64(BigInt(item.value.length));
        for (const element of item.value) emit(element);
    }
  };

  const { magic = "GGUF", version = 3, alignment = 32, keys = [], tensors = [] } = plan;
  out.push(...new TextEncoder().encode(magic));
  u32(version);
  u64(plan.tensorCount ?? BigInt(tensors.length));
  u64(plan.keyCount ?? BigInt(keys.length));
  for (const [key, item] of keys) {
    string(key);
    u32(typeIds[item.type]);
    emit(item);
  }
  const padded = (size: number): number => Math.ceil(size / alignment) * alignment;
  let offset = 0;
  for (const tensor of tensors) {
    string(tensor.name);
    u32(tensor.dims.length);
    for (const size of tensor.dims) u64(BigInt.asUintN(64, BigInt(size)));
    u32(tensor.type);
    u64(tensor.offset ?? BigInt(offset));
    offset += padded(tensor.bytes.length);
  }

  const start = padded(out.length);
  const file = new Uint8Array(start + offset);
  file.set(out);
  let at = start;
  for (const { bytes } of tensors) {
    file.set(bytes, at);
    at += padded(bytes.length);
  }
  return file;
}
