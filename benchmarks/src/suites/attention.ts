import { type Device, Generator, grad, scope, type Tensor, uniform } from "@graft/tensor";
import { type AttentionClass, apply, attentionBy, composedAttention } from "@graft/tensor/op";
import type { Case, Suite } from "../harness.ts";

/** SmolLM2's heads: batch 1, 9 query heads, 3 key heads of 64 values. */
const HEADS = 9;
const KV_HEADS = 3;
const HEAD_DIM = 64;

/**
 * Causal attention. On the GPU device the class that the table chooses against the plain kernel with one row a lane, and both passes against the
 * forward one; on the CPU device against the composition of matmul and softmax.
 */
export const attentionSuite: Suite = {
  name: "attention",
  async cases(devices) {
    return [128, 512].flatMap((length) =>
      devices.flatMap((device) => (device.kind === "webgpu" ? onGpu(device, length) : onCpu(device, length))),
    );
  },
};

function onGpu(device: Device, length: number): Case[] {
  const { fused, withGradient, flops } = attentionOf(device, length);
  const forward = `forward ${length}`;
  const both = `forward + backward ${length}`;
  return [
    { name: `${forward} plain`, device, group: forward, flops, run: () => fused("plain") },
    { name: `${forward} tiled`, device, group: forward, flops, run: () => fused() },
    { name: `${both}: forward`, device, group: both, flops, run: () => fused() },
    { name: `${both}: both`, device, group: both, flops: 4.5 * flops, run: () => withGradient(false) },
  ];
}

function onCpu(device: Device, length: number): Case[] {
  const { fused, composed, withGradient, flops } = attentionOf(device, length);
  const forward = `CPU forward ${length}`;
  const both = `CPU forward + backward ${length}`;
  return [
    { name: `${forward} composed`, device, group: forward, flops, run: composed },
    { name: `${forward} fused`, device, group: forward, flops, run: () => fused() },
    { name: `${both} composed`, device, group: both, run: () => withGradient(true) },
    { name: `${both} fused`, device, group: both, run: () => withGradient(false) },
  ];
}

function attentionOf(device: Device, length: number) {
  const generator = new Generator(0);
  const make = (heads: number): Tensor =>
    uniform(device, generator.next(), [1, length, heads, HEAD_DIM], { low: -2, high: 2 });
  const [q, k, v, dy] = [HEADS, KV_HEADS, KV_HEADS, HEADS].map(make);
  const inputs = [q, k, v];
  const attrs = {
    layout: "bthd",
    scale: 1 / Math.sqrt(HEAD_DIM),
    causal: true,
    window: Number.POSITIVE_INFINITY,
    keys: length,
  } as const;
  return {
    fused: (tile?: AttentionClass) => scope(() => void apply(attentionBy(tile), inputs, attrs)),
    composed: () => scope(() => void composedAttention(inputs, attrs)),
    withGradient: (composed: boolean) =>
      scope(() => {
        const leaves = inputs.map((x) => {
          const leaf = x.detach();
          leaf.requiresGrad = true;
          return leaf;
        });
        const y = composed ? composedAttention(leaves, attrs) : apply(attentionBy(), leaves, attrs)[0];
        grad(y, leaves, { gradient: dy });
      }),
    // The causal half only.
    flops: 4 * HEAD_DIM * HEADS * ((length * (length + 1)) / 2),
  };
}
