"""Do transformers and bitsandbytes read a quantized folder as Graft meant it? Exit status 0 when they agree, 1 otherwise.

    python tools/golden/check_quantized.py --model FOLDER --expect values.safetensors

The expected file (tools/golden/write_values.mjs) holds the values of every packed weight under its name, in float32, and
`input_ids` [rows, length] with `logits` [rows, length, vocabulary]. Values must be equal (8 bits: to two roundings, since
bitsandbytes multiplies by a rounded 1/127).
"""

import argparse
import sys

from common import read_tensors  # before torch: it sets environment variables that torch reads
from quant_models import bnb, load, quantized_layers, values_of

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--expect", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest allowed |difference| / max(1, |logit|); default 1e-4")
    options = parser.parse_args()
    expected = read_tensors(options.expect)
    model = load(options.model)
    layers = quantized_layers(model)
    weights = {name for name in expected if name not in ("input_ids", "logits")}
    if weights != {f"{name}.weight" for name in layers}:
        sys.exit(f"the file names {len(weights)} packed weights, transformers has {len(layers)}")
    for name, layer in layers.items():
        own, theirs = expected[f"{name}.weight"], values_of(layer)
        allowed = own.abs() * 2.0**-22 if isinstance(layer, bnb.nn.Linear8bitLt) else torch.zeros(())
        if own.shape != theirs.shape or not bool(((own - theirs).abs() <= allowed).all()):
            sys.exit(f"{name}: the values differ by up to {(own - theirs).abs().max().item():.3e}")
    with torch.no_grad():
        got = model(expected["input_ids"].long()).logits
    want = expected["logits"]
    difference = ((got - want).abs() / got.abs().clamp(min=1)).max().item()
    agrees = difference <= options.tolerance
    print(f"{len(layers)} packed weights are equal; logits: max difference {difference:.3e}, tolerance {options.tolerance:.0e}: {'agrees' if agrees else 'DIFFERS'}")
    sys.exit(0 if agrees else 1)


if __name__ == "__main__":
    main()
