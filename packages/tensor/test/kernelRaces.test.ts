import {
  crossEntropy,
  fromArray,
  layerNorm,
  logSoftmax,
  rmsNorm,
  scaledDotProductAttention,
  softmax,
  sumOfSquares,
  type Tensor,
} from "@graft/tensor";
import { valuesOf } from "@graft/tensor/testing";
import { expect, test } from "vitest";
import { CpuDevice } from "../src/device/cpu/cpuDevice.ts";
import type { View } from "../src/device/device.ts";
import { gridOf, moduleText, paramWords, writeParams } from "../src/device/webgpu/shader.ts";
import type { Kernel } from "../src/ops/kernel.ts";
import type { Op } from "../src/ops/op.ts";
import { sizeOf } from "../src/shape.ts";
import { detectRaces } from "../test-support/wgsl.ts";

/** A CPU device that also runs the kernels of each op in an interpreter that looks for races. */
class RaceDevice extends CpuDevice {
  readonly found: string[] = [];
  /** Changes the text of each kernel before it runs. */
  edit = (text: string): string => text;

  override run<A>(op: Op<A>, inputs: readonly View[], outputs: readonly View[], attrs: A): void {
    super.run(op, inputs, outputs, attrs);
    const scratch = (dtype: View["dtype"], size: number): View => ({
      shape: [size],
      dtype,
      storage: outputs[0].storage,
      offset: 0,
    });
    const info = { subgroups: false, subgroupSize: 0, shaderF16: false, scratch };
    for (const kernel of op.wgsl?.(inputs, outputs, attrs, info) ?? []) {
      if (kernel.over !== "group") continue;
      this.found.push(...racesOf(kernel, this.edit).map((race) => `${op.name}: ${race}`));
    }
  }
}

function racesOf(kernel: Kernel, edit: (text: string) => string): string[] {
  const words = new Uint32Array(paramWords(kernel));
  writeParams(kernel, new Float32Array(words.buffer), words, 0);
  const buffers = kernel.bindings.map(({ view }) =>
    view.dtype === "f32" ? new Float32Array(sizeOf(view.shape)) : new Int32Array(sizeOf(view.shape)),
  );
  const bindings = Object.fromEntries([...buffers, words].map((buffer, i) => [i, buffer]));
  // The interpreter has no workgroupUniformLoad, which is a read between two barriers.
  const text = moduleText(kernel).replace(
    /let (\w+) = workgroupUniformLoad\(&(\w+)\);/g,
    "workgroupBarrier(); let $1 = $2; workgroupBarrier();",
  );
  return detectRaces(edit(text), {
    workgroups: [...gridOf(kernel), 1],
    buffers: bindings,
    uniforms: [kernel.bindings.length],
  });
}

const device = new RaceDevice();
const make = (shape: readonly number[]): Tensor =>
  fromArray(device, valuesOf("normal", 1, sizeOf(shape)), shape, { requiresGrad: true });
const targets = fromArray(device, [1, -100], [2], { dtype: "i32" });

/** Rows longer than a workgroup, so that lanes go round. */
const functions: Record<string, () => Tensor> = {
  softmax: () => softmax(make([2, 40])),
  logSoftmax: () => logSoftmax(make([2, 40])),
  rmsNorm: () => rmsNorm(make([2, 40]), make([40])),
  layerNorm: () => layerNorm(make([2, 40]), make([40]), make([40])),
  crossEntropy: () => crossEntropy(make([2, 40]), targets, { reduction: "none" }),
  sumOfSquares: () => sumOfSquares(make([600])),
  attention: () =>
    scaledDotProductAttention(make([1, 2, 2, 2]), make([1, 1, 3, 2]), make([1, 1, 3, 2]), { causal: true }),
};

test.each(Object.entries(functions))("no two lanes of a workgroup race in %s and its gradient", (_, fn) => {
  const y = fn();
  y.backward({ gradient: make(y.shape).detach() });
  expect(device.found).toEqual([]);
});

test("a fold without its barriers is found", () => {
  const broken = new RaceDevice();
  broken.edit = (text) => text.replaceAll("workgroupBarrier();", "");
  softmax(fromArray(broken, valuesOf("normal", 1, 80), [2, 40]));
  expect(broken.found.join()).toContain("Data race on 'fold_values'");
});
