"""Does PEFT read an adapter as Graft meant it? Loads base and adapter, compares the logits; exit status 0 when they agree, 1 otherwise.

    python tools/golden/check_adapter.py --model FOLDER_or_GGUF --adapter FOLDER --expect logits.safetensors

The expected file holds `input_ids` [rows, length] and `logits` [rows, length, vocabulary] (or [rows, vocabulary]: those of the last position).
`--merged FOLDER` compares a merged Hugging Face folder instead of an adapter.
"""

import argparse
import sys
from pathlib import Path

from common import load_causal, read_tensors  # before torch and peft: it sets environment variables that they read

import torch
from peft import PeftModel


def load_base(path):
    path = Path(path)
    return load_causal(path.parent, gguf_file=path.name) if path.suffix == ".gguf" else load_causal(path)


def load(options):
    if options.merged:
        return load_base(options.merged)
    base = load_base(options.model)
    if not options.adapter:
        return base
    model = PeftModel.from_pretrained(base, str(Path(options.adapter)))
    # PEFT only warns of tensors that fit nowhere, and the adapter then silently does less than it should.
    in_file = len(read_tensors(Path(options.adapter) / "adapter_model.safetensors"))
    in_model = sum(p.numel() > 0 for name, p in model.named_parameters() if "lora_" in name)
    if in_file != in_model:
        sys.exit(f"the file holds {in_file} tensors, the model has {in_model} adapter parameters")
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="base: a Hugging Face folder or a .gguf file")
    parser.add_argument("--adapter", help="PEFT folder; without it the base alone is compared")
    parser.add_argument("--merged", help="a merged folder, in place of --model and --adapter")
    parser.add_argument("--expect", required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest allowed |difference| / max(1, |logit|); default 1e-4")
    options = parser.parse_args()
    if bool(options.model) == bool(options.merged):
        parser.error("give either --model or --merged")
    expected = read_tensors(options.expect)
    ids, want = expected["input_ids"].long(), expected["logits"].float()
    with torch.no_grad():
        got = load(options)(ids).logits
    got = got[:, -1] if want.dim() == 2 else got
    if got.shape != want.shape:
        sys.exit(f"logits are {list(got.shape)} in transformers, {list(want.shape)} in the file")
    difference = ((got - want).abs() / got.abs().clamp(min=1)).max().item()
    agrees = difference <= options.tolerance  # false for not-a-number too
    print(f"max difference {difference:.3e}, tolerance {options.tolerance:.0e}: {'agrees' if agrees else 'DIFFERS'}")
    sys.exit(0 if agrees else 1)


if __name__ == "__main__":
    main()
