"""Products of bitsandbytes' 8-bit layers with activations in 8 bits too, with LLM.int8()'s outliers and without, and the input's gradient."""

import bitsandbytes as bnb
import torch

from common import fresh_folder, generator, write_json, write_tensors

THRESHOLDS = (6.0, 2.5, 0.0)  # transformers' own; one that most columns pass; none
ROWS, FEATURES, OUTPUTS = (2, 5), 48, 20


def main():
    folder = fresh_folder("llm_int8")
    g = generator(560)
    # On a grid of float16, so that its rounding says nothing; feature 7 has outliers in two rows, feature 30 one of exactly the threshold.
    x = (torch.randn(*ROWS, FEATURES, generator=g) * 64).round() / 64
    x[0, 1, 7], x[1, 3, 7], x[1, 0, 30] = 21.5, -60.0, 6.0
    weight = torch.randn(OUTPUTS, FEATURES, generator=g) * 0.05
    bias = torch.randn(OUTPUTS, generator=g)
    dy = torch.randn(*ROWS, OUTPUTS, generator=g)
    codes, scb, _ = bnb.functional.int8_vectorwise_quant(weight.to(torch.float16))
    tensors = {"x": x, "dy": dy, "bias": bias, "codes": codes, "absmax": scb}
    for threshold in THRESHOLDS:
        given = x.clone().requires_grad_()
        state = bnb.MatmulLtState()
        state.CB, state.SCB, state.threshold, state.has_fp16_weights = codes, scb, threshold, False
        state.is_training = False  # in training a CPU multiplies activations as they are
        y = bnb.matmul(given, codes, bias=bias, state=state)
        y.backward(dy)
        tensors[f"y.{threshold}"] = y.detach()
        tensors[f"dx.{threshold}"] = given.grad
    write_tensors(folder / "llm_int8.safetensors", tensors)
    write_json(folder / "llm_int8.json", {"bitsandbytes": bnb.__version__, "thresholds": list(THRESHOLDS)})
