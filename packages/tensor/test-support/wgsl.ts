import { detectRaces as reflectRaces } from "wgsl_reflect/wgsl_reflect.module.js";

/** One remark of the WGSL compiler; line and column count from 1. */
export type WgslMessage = {
  readonly type: "error" | "warning" | "info";
  readonly line: number;
  readonly column: number;
  readonly text: string;
};

/** What the device's own compiler says about a shader: nothing for a good one. About 0.2 ms on Dawn. */
export async function validateWgsl(device: GPUDevice, code: string): Promise<WgslMessage[]> {
  // Without the scope a wrong shader would also be reported as an uncaught error of the device.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const [{ messages }] = await Promise.all([module.getCompilationInfo(), device.popErrorScope()]);
  return messages.map(({ type, lineNum, linePos, message }) => ({
    type,
    line: lineNum,
    column: linePos,
    text: message,
  }));
}

/** How a kernel is run on the CPU to look for races. */
export type RaceRun = {
  /** The entry point. */
  readonly entry?: string;
  /** Workgroups in x, y and z. */
  readonly workgroups?: readonly [number, number, number];
  /** The contents of group 0 by binding number; written buffers are changed. */
  readonly buffers: Readonly<Record<number, Float32Array | Uint32Array | Int32Array>>;
  /** The binding numbers among `buffers` that are uniforms. */
  readonly uniforms?: readonly number[];
  /** The bytes of `var<immediate>`, as 4-byte words. */
  readonly immediates?: Uint32Array;
};

/**
 * Accesses of two invocations of one workgroup to the same bytes with no barrier between them and at least one
 * write; each pair of source lines once, as a sentence. Empty for a correct kernel.
 *
 * It runs the kernel in an interpreter, so keep shapes tiny. It does not see races between workgroups; subgroup
 * operations give each lane its own value; storage of f16 is refused.
 */
export function detectRaces(code: string, run: RaceRun): string[] {
  const { entry = "main", workgroups = [1, 1, 1], buffers, uniforms = [], immediates } = run;
  const entries = Object.entries(buffers).map(([binding, data]) => [
    binding,
    uniforms.includes(Number(binding)) ? { uniform: data } : data,
  ]);
  const groups = { 0: Object.fromEntries(entries), ...(immediates && { 9: { 0: { uniform: immediates } } }) };
  const { races, errors } = reflectRaces(plain(code), entry, [...workgroups], groups);
  if (errors.length > 0)
    throw new Error(`detectRaces: the interpreter failed on "${entry}": ${errors.join("; ")}.`);
  const byLines = new Map(
    races.map(({ bufferId, a, b, message }) => [`${bufferId} ${a.line} ${b.line}`, message]),
  );
  return [...byLines.values()];
}

// The interpreter neither knows directives nor immediates: the former are blanked (lines keep their numbers), the
// latter become a uniform of a group that no kernel uses.
function plain(code: string): string {
  return code
    .replace(/^[ \t]*(?:enable|requires|diagnostic)\b[^;]*;/gm, "")
    .replace(/\bvar\s*<\s*immediate\s*>/g, "@group(9) @binding(0) var<uniform>");
}
