"""The public workload of kvark/inferena in PyTorch: SmolLM2-135M, one row of the ids 0 to 127, labels the same; loss and gradients."""

import torch

from common import DATA, load_causal, shared_models, write_json
from smollm2 import FILE

LENGTH = 128


def norm(tensors):
    return torch.sqrt(sum((t.double() ** 2).sum() for t in tensors)).item()


def main():
    torch.manual_seed(0)
    model = load_causal(shared_models(), gguf_file=FILE)
    ids = torch.arange(LENGTH)[None]
    loss = model(ids, labels=ids).loss
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    # The norms of what LoRA's backward passes through as well: the matrices of the first and the last layer.
    some = [name for name in gradients if name.startswith(("model.layers.0.", "model.layers.29.")) and "proj" in name]
    write_json(DATA / "inferena.json", {
        "file": FILE, "length": LENGTH, "loss": loss.item(), "gradientNorm": norm(gradients.values()),
        "gradientNorms": {name: norm([gradients[name]]) for name in some},
    })
