// What is used of WebAssembly: the types for Node name it without its values, those of the DOM are not loaded.
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
};

/** Compiles at once, which browsers allow their main thread for small modules, and gives it a memory that never grows. */
export function instantiate(
  bytes: Uint8Array<ArrayBuffer>,
  memoryBytes: number,
): { readonly exports: object; readonly buffer: ArrayBuffer } {
  const pages = Math.ceil(memoryBytes / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  return { exports, buffer: memory.buffer };
}
