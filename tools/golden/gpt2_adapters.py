"""LoRA adapters on GPT-2's Conv1D layers as PEFT saves them, with the logits of base, adapted and merged model."""

import torch

from adapters import expect
from common import fresh_folder, gpt2_config, load_causal, token_rows, write_json
from lora_training import ROWS, LENGTH, new_adapter, save_adapter, train, write_rows
from models import save_random

ACCEPTED = {
    "default": dict(r=4, lora_alpha=8, target_modules=None),
    "all-linear": dict(r=3, lora_alpha=4, target_modules="all-linear"),
    "head": dict(r=2, lora_alpha=4, target_modules=["c_fc", "lm_head"]),
}


def main():
    folder = fresh_folder("gpt2_adapters")
    # Untied, so that an adapter on the output head is possible.
    save_random(folder / "base", gpt2_config(vocab_size=72, n_positions=32, tie_word_embeddings=False), torch.float32, seed=400)
    base = load_causal(folder / "base")
    ids, _ = token_rows(2, 9, 72, seed=401)
    for seed, (name, options) in enumerate(ACCEPTED.items(), start=410):
        save_adapter(new_adapter(folder / "base", seed, **options), folder / name)
        expect(folder, name, folder / name, ids, base)
    rows, labels = token_rows(ROWS, LENGTH, 72, seed=402)
    write_rows(folder / "train.jsonl", rows, labels)
    model = new_adapter(folder / "base", 420, **ACCEPTED["all-linear"])
    save_adapter(model, folder / "start")
    write_json(folder / "run.json", {"trajectory": train(model, rows, labels)})
    write_json(folder / "adapters.json", {"base": "base", "accepted": {name: name for name in ACCEPTED}, "refused": []})
