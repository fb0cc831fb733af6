import {
  Attention,
  GatedFeedForward,
  Linear,
  type Module,
  RMSNorm,
  Rotary,
  TransformerBlock,
} from "@graft/nn";
import {
  compile,
  type Device,
  Generator,
  keep,
  mean,
  noGrad,
  normal,
  scope,
  type Tensor,
} from "@graft/tensor";
import type { Case, Suite } from "../harness.ts";
import { gpuFirst } from "./training.ts";

const embedDim = 576;
const tokens = 128;

type Layer = Module & { forward(x: Tensor): Tensor };

/** SmolLM2's layers. */
const layers: Record<string, (device: Device) => Layer> = {
  Linear: (device) => new Linear(embedDim, 1536, { ...options(device), bias: false }),
  RMSNorm: (device) => new RMSNorm(embedDim, { device }),
  Attention: attention,
  GatedFeedForward: feedForward,
  TransformerBlock: (device) =>
    new TransformerBlock({
      attention: attention(device),
      feedForward: feedForward(device),
      attentionNorm: new RMSNorm(embedDim, { device }),
      feedForwardNorm: new RMSNorm(embedDim, { device }),
    }),
};

const options = (device: Device) => ({ device, generator: new Generator(0) });

function attention(device: Device): Attention {
  const rotary = new Rotary(device, { theta: 100_000, headDim: 64 });
  return new Attention({ ...options(device), embedDim, numHeads: 9, numKvHeads: 3, rotary });
}

function feedForward(device: Device): GatedFeedForward {
  return new GatedFeedForward({ ...options(device), embedDim, hiddenDim: 1536 });
}

/** One layer of SmolLM2's sizes on a row of 128 tokens: forward, and forward with the gradients of everything. */
export const layersSuite: Suite = {
  name: "layers",
  async cases(devices) {
    const cases: Case[] = [];
    for (const [name, make] of Object.entries(layers)) {
      for (const device of gpuFirst(devices)) {
        const layer = make(device);
        const x = keep(normal(device, new Generator(1).next(), [1, tokens, embedDim]));
        for (const kind of ["forward", "forward + backward"] as const) {
          for (const mode of ["compiled", "eager"] as const)
            cases.push({
              name: `${name}, ${kind}, ${mode}, on ${device.kind}`,
              group: `${name}, ${kind}`,
              device,
              run: runOf(layer, x, kind, mode),
            });
        }
      }
    }
    return cases;
  },
};

function runOf(
  layer: Layer,
  x: Tensor,
  kind: "forward" | "forward + backward",
  mode: "compiled" | "eager",
): () => void {
  const step = (input: Tensor): Tensor => {
    if (kind === "forward") return noGrad(() => layer.forward(input));
    const loss = mean(layer.forward(input));
    loss.backward();
    return loss.detach();
  };
  const call: (input: Tensor) => Tensor = mode === "compiled" ? compile(step) : step;
  return () => {
    layer.zeroGrad();
    scope(() => void call(x));
  };
}
