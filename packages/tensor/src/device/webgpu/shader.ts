import { bytesPer, type DType, isHalf } from "../../dtype.ts";
import type { Binding, Kernel } from "../../ops/kernel.ts";
import type { ParamMode } from "./dispatch.ts";
import type { Part } from "./parts.ts";
import type { Windows } from "./windows.ts";

/** Invocations of a workgroup where a kernel names none. */
const LANES = 64;
/** WebGPU's limit of workgroups along one axis: longer grids go on in y. */
export const MAX_GRID = 65535;

/** Words of the params of a kernel: offsets of the bindings first, then `count`, then its own. */
export function paramWords(kernel: Kernel): number {
  return kernel.bindings.length + 1 + (kernel.params?.length ?? 0);
}

/** Writes the params into a slot of 32-bit words. `parts`: what the bindings show, where not whole buffers. */
export function writeParams(
  kernel: Kernel,
  floats: Float32Array,
  words: Uint32Array,
  start: number,
  parts?: readonly (Part | undefined)[],
): void {
  let at = start;
  for (const [i, { view, as }] of kernel.bindings.entries()) {
    const before = view.storage.start - (parts?.[i]?.offset ?? 0);
    const offset = before / bytesPer(view.dtype) + view.offset;
    words[at++] = as === "vec4" ? offset / 4 : offset;
  }
  words[at++] = kernel.count;
  for (const [, type, value] of kernel.params ?? []) {
    const now = typeof value === "function" ? value() : value;
    if (type === "f32") floats[at++] = now;
    else words[at++] = now;
  }
}

/** What makes two kernels share a pipeline: their code and the types that the device writes around it. */
export function pipelineKey(op: string, kernel: Kernel, windows?: Windows): string {
  const types = kernel.bindings
    .map(({ name, view, access, as = "" }) => `${name}:${view.dtype}${access[0]}${as}`)
    .join();
  const params = (kernel.params ?? []).map(([name, type]) => name + type[0]).join();
  return `${op}|${kernel.key}|${kernel.over}${kernel.lanes ?? LANES}|${types}|${params}${windows === undefined ? "" : `|${windows.counts.join()}`}`;
}

/** The whole WGSL module of a kernel: params, bindings and their accessors, then the kernel's own text. */
export function moduleText(kernel: Kernel, mode: ParamMode, windows?: Windows): string {
  const lanes = kernel.lanes ?? LANES;
  const own = kernel.params ?? [];
  const fields = [
    ...kernel.bindings.map(({ name }) => `${name}_off: u32`),
    "count: u32",
    ...own.map(([name, type]) => `${name}: ${type}`),
  ];
  const immediate = mode === "immediate";
  return `${kernel.subgroups ? "enable subgroups;\n" : ""}${immediate ? "requires immediate_address_space;\n" : ""}struct Params { ${fields.join(", ")} }
${immediate ? "var<immediate>" : "@group(1) @binding(0) var<uniform>"} P: Params;
${declareBindings(kernel, windows)}
const lanes = ${lanes}u;
${kernel.declare?.() ?? ""}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) graft_group: vec3u, @builtin(num_workgroups) graft_groups: vec3u, @builtin(local_invocation_index) lane: u32${kernel.subgroups ? ", @builtin(subgroup_invocation_id) sub: u32" : ""}) {
  let group = graft_group.x + graft_group.y * graft_groups.x;
  ${kernel.over === "element" ? "let i = group * lanes + lane;\n  if (i >= P.count) { return; }" : "if (group >= P.count) { return; }"}
  ${kernel.main()}
}
`;
}

/** Workgroups as a grid of at most MAX_GRID along x. */
export function gridOf(kernel: Kernel): [number, number] {
  const groups = kernel.over === "element" ? Math.ceil(kernel.count / (kernel.lanes ?? LANES)) : kernel.count;
  if (groups <= MAX_GRID) return [groups, 1];
  const rows = Math.ceil(groups / MAX_GRID);
  return [Math.ceil(groups / rows), rows];
}

function declareBindings({ bindings }: Kernel, windows: Windows | undefined): string {
  const lines: string[] = [];
  let next = 0;
  bindings.forEach((binding, k) => {
    const array = new ArrayText(binding, next, windows?.counts[k] ?? 1, windows?.bytes ?? 0);
    next += array.windows;
    lines.push(
      array.declaration(),
      binding.as === "vec4" ? vec4Access(binding, array) : scalarAccess(binding, array),
    );
  });
  return lines.join("\n");
}

/** The array of a binding: one buffer, or several windows that look like one. */
class ArrayText {
  readonly windows: number;
  readonly #binding: Binding;
  readonly #first: number;
  /** Items of a window. */
  readonly #items: number;
  readonly #stored: string;

  constructor(binding: Binding, first: number, windows: number, bytes: number) {
    const { dtype } = binding.view;
    const wide = binding.as === "vec4";
    this.windows = windows;
    this.#binding = binding;
    this.#first = first;
    this.#items = bytes / (wide ? 4 * bytesPer(dtype) : 4);
    const scalar = storedType(dtype);
    this.#stored = wide ? (isHalf(dtype) ? "vec2u" : `vec4<${scalar}>`) : scalar;
  }

  /** Item `j` as it is stored. */
  load(j: string): string {
    const { name } = this.#binding;
    return this.windows === 1 ? `${name}_buf[${j}]` : `${name}_load(${j})`;
  }

  store(j: string, value: string): string {
    const { name } = this.#binding;
    return this.windows === 1 ? `${name}_buf[${j}] = ${value}` : `${name}_store(${j}, ${value})`;
  }

  declaration(): string {
    const { name, access: mode } = this.#binding;
    const storage = mode === "read" ? "read" : "read_write";
    const declare = (suffix: string, k: number): string =>
      `@group(0) @binding(${this.#first + k}) var<storage, ${storage}> ${name}_buf${suffix}: array<${this.#stored}>;`;
    if (this.windows === 1) return declare("", 0);
    const last = this.windows - 1;
    const each = (body: (buffer: string, at: string) => string): string =>
      Array.from({ length: this.windows }, (_, k) => {
        const inside = k === last ? "" : `if (j < ${(k + 1) * this.#items}u) `;
        return `  ${inside}{ ${body(`${name}_buf${k}`, k === 0 ? "j" : `j - ${k * this.#items}u`)} }`;
      }).join(" else\n");
    const lines = Array.from({ length: this.windows }, (_, k) => declare(`${k}`, k));
    lines.push(
      `fn ${name}_load(j: u32) -> ${this.#stored} {\n  var v: ${this.#stored};\n${each((buffer, at) => `v = ${buffer}[${at}];`)}\n  return v;\n}`,
    );
    if (mode !== "read")
      lines.push(
        `fn ${name}_store(j: u32, v: ${this.#stored}) {\n${each((buffer, at) => `${buffer}[${at}] = v;`)}\n}`,
      );
    return lines.join("\n");
  }
}

function scalarAccess({ name, view: { dtype }, access: mode }: Binding, array: ArrayText): string {
  const lines: string[] = [];
  if (mode !== "write" || !isHalf(dtype)) lines.push(reader(name, dtype, array));
  if (mode !== "read") lines.push(writer(name, dtype, array));
  return lines.join("\n");
}

function vec4Access({ name, view: { dtype }, access: mode }: Binding, array: ArrayText): string {
  const at = `i + P.${name}_off`;
  if (isHalf(dtype)) {
    const wide =
      dtype === "f16"
        ? "vec4f(unpack2x16float(w.x), unpack2x16float(w.y))"
        : "bitcast<vec4f>(vec4u(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u))";
    return `fn ${name}_at4(i: u32) -> vec4f { let w = ${array.load(at)}; return ${wide}; }`;
  }
  const type = `vec4<${storedType(dtype)}>`;
  const lines = [`fn ${name}_at4(i: u32) -> ${type} { return ${array.load(at)}; }`];
  if (mode !== "read") lines.push(`fn ${name}_put4(i: u32, v: ${type}) { ${array.store(at, "v")}; }`);
  return lines.join("\n");
}

function storedType(dtype: DType): string {
  return bytesPer(dtype) === 4 && dtype !== "bool" ? dtype : "u32";
}

function reader(name: string, dtype: DType, array: ArrayText): string {
  const at = array.load(`i + P.${name}_off`);
  if (dtype === "bool") return `fn ${name}_at(i: u32) -> bool { return ${at} != 0u; }`;
  if (!isHalf(dtype)) return `fn ${name}_at(i: u32) -> ${dtype} { return ${at}; }`;
  const word = `let j = i + P.${name}_off; let w = ${array.load("j >> 1u")}; let high = (j & 1u) == 1u;`;
  const value =
    dtype === "f16"
      ? "let v = unpack2x16float(w); return select(v.x, v.y, high);"
      : "return bitcast<f32>(select(w << 16u, w & 0xffff0000u, high));";
  return `fn ${name}_at(i: u32) -> f32 { ${word} ${value} }
fn ${name}_bits(i: u32) -> u32 { ${word} return select(w & 0xffffu, w >> 16u, high); }`;
}

function writer(name: string, dtype: DType, array: ArrayText): string {
  const at = `i + P.${name}_off`;
  if (dtype === "bool") return `fn ${name}_put(i: u32, v: bool) { ${array.store(at, "select(0u, 1u, v)")}; }`;
  if (!isHalf(dtype)) return `fn ${name}_put(i: u32, v: ${dtype}) { ${array.store(at, "v")}; }`;
  return `fn ${name}_word(w: u32) -> u32 { return ${array.load("w")}; }
fn ${name}_put_word(w: u32, bits: u32) { ${array.store("w", "bits")}; }`;
}
