import fc from "fast-check";
import { fromArray, zeros } from "../create.ts";
import { openCpu } from "../device/cpu/cpuDevice.ts";
import type { DType } from "../dtype.ts";
import type { Shape } from "../shape.ts";
import { seeds, shapes } from "../testing/arbitraries.ts";
import type { OpCases, Sample } from "../testing/cases.ts";
import { indexInput } from "../testing/indexInput.ts";
import { inputOf } from "../testing/values.ts";
import { embedding } from "./embedding.ts";

const looked = (rows: number, features: number, ids: Shape, dtype?: DType, seed = 1): Sample => ({
  inputs: [inputOf([rows, features], seed, { dtype }), indexInput(ids, rows, seed)],
  call: (weight, index) => embedding(weight, index),
  why: `[${rows}, ${features}] at ids [${ids}] ${dtype ?? ""}, seed ${seed}`,
});

export const embeddingCases: OpCases = {
  name: "embedding",
  torch: "torch.nn.functional.embedding",
  samples: fc
    .record({
      rows: fc.integer({ min: 1, max: 9 }),
      features: fc.nat({ max: 6 }),
      ids: shapes({ maxRank: 3 }),
      seed: seeds(),
    })
    .map(({ rows, features, ids, seed }) => looked(rows, features, ids, undefined, seed)),
  edges: [
    looked(1, 1, []),
    looked(3, 2, [0]),
    looked(3, 0, [2]),
    looked(5, 70, [2, 3]),
    looked(3, 4, [200]),
    looked(5, 8, [40]),
    looked(300, 3, [5]),
    looked(7, 5, [4], "f16"),
    looked(7, 5, [4], "bf16"),
    {
      inputs: [inputOf([4, 3], 1), { shape: [4], dtype: "u32", values: [3, 3, 0, 3] }],
      call: (weight, ids) => embedding(weight, ids),
      why: "u32 ids; a row three times",
    },
  ],
  errors: [
    {
      call: (device) => embedding(zeros(device, [3]), zeros(device, [2], { dtype: "i32" })),
      message: "embedding: weight must be [vocabulary, features], got [3].",
    },
    {
      call: (device) => embedding(zeros(device, [3, 2]), zeros(device, [2])),
      message: "embedding: ids must be i32 or u32, got f32. Use cast first.",
    },
    {
      call: (device) => embedding(zeros(device, [0, 2]), zeros(device, [2], { dtype: "i32" })),
      message: "embedding: there must be something to take from, got [0, 2].",
    },
    {
      // A GPU does not look at values: it takes the nearest row.
      call: () => {
        const cpu = openCpu();
        return embedding(zeros(cpu, [3, 2]), fromArray(cpu, [0, 3], [2], { dtype: "i32" }));
      },
      message: "embedding: ids must be in [0, 3), got 3.",
    },
  ],
  ulps: 0,
  ulpsWhy: "values are copied",
};
