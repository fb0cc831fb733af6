import { CpuDevice } from "../../src/device/cpu/cpuDevice.ts";
import type { View } from "../../src/device/device.ts";
import type { Storage } from "../../src/device/storage.ts";
import { moduleText, paramWords, writeParams } from "../../src/device/webgpu/shader.ts";
import { type DType, isHalf, type TypedArray } from "../../src/dtype.ts";
import { packedFormats } from "../../src/formats/packed/index.ts";
import type { GpuInfo, Kernel } from "../../src/ops/kernel.ts";
import type { CpuArray, Op } from "../../src/ops/op.ts";
import { detectRaces, type RaceRun } from "../../test-support/wgsl.ts";

type Words = Float32Array | Uint32Array | Int32Array;

/** Values that a kernel may touch to be interpreted, at about a millisecond each; fewer where lanes share no memory. */
const MOST = { sharing: 600, alone: 200 };

/** The interpreter has no `var<private>`, which this op uses. */
const UNKNOWN = "var<private>";

/**
 * The CPU device, which also gives each kernel that works in groups to the race detector, once for each piece of code, on
 * the values that the op is run on.
 */
export class RaceDevice extends CpuDevice {
  /** What was found, by op. */
  readonly races: string[] = [];
  /** Kernels that the interpreter could not run. */
  readonly refused: string[] = [];
  /** Kernels that were only run on more values than the interpreter should see. */
  readonly tooLarge = new Map<string, string>();
  /** The kernels that were looked at. */
  readonly seen = new Map<string, string>();

  override run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    const { cpu, wgsl } = op;
    if (cpu === undefined || wgsl === undefined || [...inputs, ...outputs].some(isUnreadable)) {
      super.run(op, inputs, outputs, attrs);
      return;
    }
    const buffers = new Map<Storage, Words>();
    const spied: Op<A> = {
      ...op,
      cpu: (ins, outs, given, context) => {
        for (const [i, array] of ins.entries()) buffers.set(inputs[i].storage, words(array));
        for (const [i, array] of outs.entries()) buffers.set(outputs[i].storage, words(array));
        cpu(ins, outs, given, context);
      },
    };
    super.run(spied, inputs, outputs, attrs);
    const dense = (view: View): View => ({ ...pick(view), offset: 0 });
    const scratches: Storage[] = [];
    const info: GpuInfo = {
      subgroups: false,
      subgroupSize: 0,
      software: false,
      shaderF16: false,
      scratch: (dtype, size) => {
        const storage = this.allocate(dtype, size);
        scratches.push(storage);
        buffers.set(
          storage,
          dtype === "i32"
            ? new Int32Array(size)
            : dtype === "f32"
              ? new Float32Array(size)
              : new Uint32Array(size),
        );
        return { shape: [size], dtype, storage, offset: 0 };
      },
      constants: (table) => {
        const size = Math.ceil(table.length / 4) * 4;
        const storage = this.allocate("u32", size);
        scratches.push(storage);
        const values = new Uint32Array(size);
        values.set(table);
        buffers.set(storage, values);
        return { shape: [size], dtype: "u32", storage, offset: 0 };
      },
    };
    for (const kernel of wgsl(inputs.map(dense), outputs.map(dense), attrs, info))
      this.#look(op.name, kernel, buffers);
    for (const storage of scratches) storage.release();
  }

  #look(name: string, kernel: Kernel, buffers: ReadonlyMap<Storage, Words>): void {
    const key = `${name}|${withoutFormat(kernel.key)}`;
    if (kernel.over !== "group" || kernel.count === 0 || this.seen.has(key)) return;
    const data = kernel.bindings.map(({ view }) => buffers.get(view.storage));
    if (!data.every((array) => array !== undefined)) return;
    const code = moduleText(kernel, "immediate");
    if (code.includes(UNKNOWN)) return;
    const touched = data.reduce((all, array) => all + array.length, 0);
    if (touched > (code.includes("var<workgroup>") ? MOST.sharing : MOST.alone)) {
      this.tooLarge.set(key, name);
      return;
    }
    this.tooLarge.delete(key);
    const floats = new Float32Array(paramWords(kernel));
    const params = new Uint32Array(floats.buffer);
    writeParams(kernel, floats, params, 0);
    this.seen.set(key, name);
    const found = this.#interpret(name, code, {
      workgroups: [1, 1, 1],
      buffers: Object.fromEntries(data.entries()),
      immediates: params,
    });
    this.races.push(...found.map((race) => `${name}: ${race}\n${code}`));
  }

  #interpret(name: string, code: string, run: RaceRun): string[] {
    try {
      return detectRaces(plainLoads(code), run);
    } catch (error) {
      this.refused.push(`${name}: ${error instanceof Error ? error.message : String(error)}\n${code}`);
      return [];
    }
  }
}

const formats = [...packedFormats.keys()].sort((a, b) => b.length - a.length);

/** How weights are decoded touches no shared memory, so one format stands for all, which take a second each. */
function withoutFormat(key: string): string {
  return formats.reduce((rest, format) => rest.replaceAll(format, "packed"), key);
}

/** The interpreter does not know workgroupUniformLoad, which is a load between two barriers. */
function plainLoads(code: string): string {
  return code.replace(
    /let (\w+) = workgroupUniformLoad\(&(\w+)\);/g,
    "workgroupBarrier(); let $1 = $2; workgroupBarrier();",
  );
}

function pick({ shape, dtype, storage, offset }: View): View {
  return { shape, dtype, storage, offset };
}

/** The interpreter has neither 16-bit storage nor doubles. */
function isUnreadable({ dtype }: { dtype: DType }): boolean {
  return isHalf(dtype) || dtype === "f64";
}

/** A copy of what an op sees, before it runs. */
function words({ data }: CpuArray): Words {
  const copy: TypedArray = data.slice();
  if (copy instanceof Float64Array || copy instanceof Uint16Array) throw new Error("this type was left out");
  return copy.length > 0 ? copy : new Float32Array(1);
}
