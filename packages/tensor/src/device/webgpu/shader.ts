import { bytesPer, type DType, isHalf } from "../../dtype.ts";
import type { Binding, Kernel } from "../../ops/kernel.ts";
import type { ParamMode } from "./dispatch.ts";

/** Invocations of a workgroup where a kernel names none. */
const LANES = 64;
/** WebGPU's limit of workgroups along one axis: longer grids go on in y. */
export const MAX_GRID = 65535;

/** Words of the params of a kernel: offsets of the bindings first, then `count`, then its own. */
export function paramWords(kernel: Kernel): number {
  return kernel.bindings.length + 1 + (kernel.params?.length ?? 0);
}

/** Writes the params into a slot of 32-bit words. */
export function writeParams(kernel: Kernel, floats: Float32Array, words: Uint32Array, start: number): void {
  let at = start;
  for (const { view, as } of kernel.bindings) {
    const offset = view.storage.start / bytesPer(view.dtype) + view.offset;
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
export function pipelineKey(op: string, kernel: Kernel): string {
  const types = kernel.bindings
    .map(({ name, view, access, as = "" }) => `${name}:${view.dtype}${access[0]}${as}`)
    .join();
  const params = (kernel.params ?? []).map(([name, type]) => name + type[0]).join();
  return `${op}|${kernel.key}|${kernel.over}${kernel.lanes ?? LANES}|${types}|${params}`;
}

/** The whole WGSL module of a kernel: params, bindings and their accessors, then the kernel's own text. */
export function moduleText(kernel: Kernel, mode: ParamMode): string {
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
${kernel.bindings.map(declareBinding).join("\n")}
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

function declareBinding({ name, view: { dtype }, access, as }: Binding, index: number): string {
  if (as === "vec4") return declareVec4(name, dtype, access, index);
  const stored = storedType(dtype);
  const mode = access === "read" ? "read" : "read_write";
  const lines = [`@group(0) @binding(${index}) var<storage, ${mode}> ${name}_buf: array<${stored}>;`];
  if (access !== "write" || !isHalf(dtype)) lines.push(reader(name, dtype));
  if (access !== "read") lines.push(writer(name, dtype));
  return lines.join("\n");
}

function declareVec4(name: string, dtype: DType, access: Binding["access"], index: number): string {
  const mode = access === "read" ? "read" : "read_write";
  const stored = storedType(dtype);
  const at = `${name}_buf[i + P.${name}_off]`;
  if (isHalf(dtype)) {
    const wide =
      dtype === "f16"
        ? "vec4f(unpack2x16float(w.x), unpack2x16float(w.y))"
        : "bitcast<vec4f>(vec4u(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u))";
    return `@group(0) @binding(${index}) var<storage, ${mode}> ${name}_buf: array<vec2u>;
fn ${name}_at4(i: u32) -> vec4f { let w = ${at}; return ${wide}; }`;
  }
  const lines = [
    `@group(0) @binding(${index}) var<storage, ${mode}> ${name}_buf: array<vec4<${stored}>>;`,
    `fn ${name}_at4(i: u32) -> vec4<${stored}> { return ${at}; }`,
  ];
  if (access !== "read") lines.push(`fn ${name}_put4(i: u32, v: vec4<${stored}>) { ${at} = v; }`);
  return lines.join("\n");
}

function storedType(dtype: DType): string {
  return bytesPer(dtype) === 4 && dtype !== "bool" ? dtype : "u32";
}

function reader(name: string, dtype: DType): string {
  const at = `${name}_buf[i + P.${name}_off]`;
  if (dtype === "bool") return `fn ${name}_at(i: u32) -> bool { return ${at} != 0u; }`;
  if (!isHalf(dtype)) return `fn ${name}_at(i: u32) -> ${dtype} { return ${at}; }`;
  const word = `let j = i + P.${name}_off; let w = ${name}_buf[j >> 1u]; let high = (j & 1u) == 1u;`;
  const value =
    dtype === "f16"
      ? "let v = unpack2x16float(w); return select(v.x, v.y, high);"
      : "return bitcast<f32>(select(w << 16u, w & 0xffff0000u, high));";
  return `fn ${name}_at(i: u32) -> f32 { ${word} ${value} }
fn ${name}_bits(i: u32) -> u32 { ${word} return select(w & 0xffffu, w >> 16u, high); }`;
}

function writer(name: string, dtype: DType): string {
  if (dtype === "bool")
    return `fn ${name}_put(i: u32, v: bool) { ${name}_buf[i + P.${name}_off] = select(0u, 1u, v); }`;
  if (!isHalf(dtype)) return `fn ${name}_put(i: u32, v: ${dtype}) { ${name}_buf[i + P.${name}_off] = v; }`;
  return "";
}
