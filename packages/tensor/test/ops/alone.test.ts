// An op that is used outside of every scope leaves nothing that its caller cannot free.
import { fromArray, noGrad, openCpu, type Tensor } from "@graft/tensor";
import { expect, test } from "vitest";
import { allCases } from "./everyOp.ts";

/** Cases whose `call` makes more than one call itself, and dropout, which gives back its input where nothing is dropped. */
const composed = /^(cast|slice|copyInto|copyWhere|addInto|fillInto|mulInto|adamWStep|sgdStep|dropout)$/;

const cases = [...(await allCases()).values()].flat().filter(({ name }) => !composed.test(name));

test.each(cases.map((item) => [item.name, item] as const))("%s", (_, { edges }) => {
  const device = openCpu();
  for (const { inputs, call, why } of edges) {
    noGrad(() => {
      const tensors = inputs.map(({ shape, values, dtype = "f32" }) =>
        fromArray(device, values, shape, { dtype }),
      );
      const before = device.memory().liveBuffers;
      const result = call(...tensors);
      const outputs: readonly Tensor[] = "isGraftTensor" in result ? [result] : result;
      for (const output of outputs) output.dispose();
      expect(device.memory().liveBuffers, why).toBe(before);
      for (const tensor of tensors) tensor.dispose();
      expect(device.memory().liveBuffers, why).toBe(0);
    });
  }
});
