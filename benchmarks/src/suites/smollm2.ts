import { readFileSync } from "node:fs";
import { injectLora } from "@graft/lora";
import { gradNorm, type LlamaForCausalLM, loadFromGguf } from "@graft/nn";
import { openGguf } from "@graft/nn/checkpoint";
import { fileSource } from "@graft/nn/node";
import {
  compile,
  type Device,
  fromArray,
  Generator,
  keep,
  linearCrossEntropy,
  noGrad,
  scope,
  stack,
  type Tensor,
} from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";
import { repository, sharedModel } from "../paths.ts";
import { finishOf, gpuFirst } from "./training.ts";

/** What PyTorch says (`tools/golden/inferena.py`), from the same weights. */
const golden: { file: string; length: number; loss: number; gradientNorm: number } = JSON.parse(
  readFileSync(new URL("tools/golden/data/inferena.json", repository), "utf8"),
);
/** Asked by the public workload. */
const LOSS_TOLERANCE = 1e-3;
/** float32 sums through 30 layers, in another order. */
const NORM_TOLERANCE = 1e-3;

/** 2 · weights · tokens of the matrices and the head, which are read once for every token. */
const forwardFlops = 2 * 134.5e6 * golden.length;

type Kind = "forward" | "LoRA" | "full";
/** Backward of a LoRA passes the frozen matrices once, a full one twice. */
const passes: Record<Kind, number> = { forward: 1, LoRA: 2, full: 3 };

/**
 * The training workload of kvark/inferena: SmolLM2-135M, one row of 128 tokens (ids 0 to 127, labels the same), float32.
 * Forward with the loss, and forward with backward: of a LoRA of rank 8 on every linear layer, and of all parameters.
 * @see https://github.com/kvark/inferena models/SmolLM2-135M.md
 */
export const smollm2Suite: Suite = {
  name: "smollm2",
  large: true,
  async cases(devices) {
    const cases: Case[] = [];
    for (const device of gpuFirst(devices)) {
      const [frozen, trained] = [await load(device), await load(device)];
      const lora = { rank: 8, alpha: 16, targetModules: "all-linear" } as const;
      injectLora(frozen, lora, { generator: new Generator(0) });
      for (const mode of ["compiled", "eager"] as const) {
        const add = async (kind: Kind, model: LlamaForCausalLM): Promise<void> => {
          const own = await passOf(kind, mode, model);
          const name = `${kind === "forward" ? kind : `forward + backward, ${kind}`}, ${mode}, on ${device.kind}`;
          const forward = `forward, ${mode}, on ${device.kind}`;
          const flops = passes[kind] * forwardFlops;
          cases.push({ name, device, flops, less: kind === "forward" ? undefined : forward, ...own });
        };
        await add("forward", trained);
        await add("LoRA", frozen);
        await add("full", trained);
      }
    }
    return cases;
  },
};

async function load(device: Device): Promise<LlamaForCausalLM> {
  const path = sharedModel(golden.file);
  const file = await openGguf(await fileSource(path));
  try {
    return await loadFromGguf(file, { device });
  } finally {
    await file.close();
  }
}

/** One pass, checked against PyTorch's loss and, where every parameter has one, the norm of the gradients. */
async function passOf(
  kind: Kind,
  mode: "compiled" | "eager",
  model: LlamaForCausalLM,
): Promise<Pick<Case, "run" | "finish" | "note">> {
  const device = model.model.norm.weight.device;
  const ids = Int32Array.from({ length: golden.length }, (_, i) => i);
  // Position i predicts id i + 1, and the last has nothing to predict.
  const targets = Int32Array.from(ids, (id) => (id + 1 < golden.length ? id + 1 : -100));
  const [input, goals] = [ids, targets].map((values) =>
    keep(fromArray(device, values, [1, golden.length], { dtype: "i32" })),
  );
  const lossOf = (x: Tensor, y: Tensor): Tensor => {
    const states = model.hidden(x);
    const head = "weight" in model.lm_head ? (model.lm_head.weight as Tensor) : model.lm_head; // a plain Linear
    return linearCrossEntropy(states, head, y);
  };
  /** The loss, and after backward the joint norm of the gradients, which are used up as by an optimiser. */
  const step =
    kind === "forward"
      ? (x: Tensor, y: Tensor): Tensor => noGrad(() => stack([lossOf(x, y)]))
      : (x: Tensor, y: Tensor): Tensor => {
          const loss = lossOf(x, y);
          loss.backward();
          const norm = gradNorm(model.parameters());
          model.zeroGrad();
          return stack([loss.detach(), norm]);
        };
  const call: (x: Tensor, y: Tensor) => Tensor = mode === "compiled" ? compile(step) : step;
  let figures: Tensor | undefined;
  const run = (): void => {
    figures?.dispose();
    figures = keep(scope(() => call(input, goals)));
  };
  run();
  const [found = Number.NaN, norm] = (await figures?.toArray()) ?? [];
  checkNear("the loss", found, golden.loss, LOSS_TOLERANCE);
  if (kind === "full")
    checkNear("the norm of the gradients over PyTorch's", norm / golden.gradientNorm, 1, NORM_TOLERANCE);
  return { run, finish: () => finishOf(device), note: () => `loss ${found.toFixed(4)}` };
}

function checkNear(what: string, got: number, wanted: number, tolerance: number): void {
  if (!(Math.abs(got - wanted) <= tolerance))
    throw new Error(`smollm2: ${what} must be ${wanted} within ${tolerance}, got ${got}.`);
}
