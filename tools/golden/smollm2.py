"""The shared SmolLM2-135M-Instruct in transformers: token ids, logits and greedy continuations of five prompts."""

import hashlib

import torch
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from common import DATA, load_causal, shared_models, write_json, write_tensors

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 20
PROMPTS = {
    "english": "The capital of France is",
    "prose": "On a cold morning in 1987 the lighthouse keeper wrote in her log: the ferry is late, the wind is",
    "code": "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "unicode": "Übung macht den Meister. La niña comió una piña – 東京は日本の首都です。",
    "chat": "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
}
# Whole rows of 49152 logits are kept for two positions of the first prompt; everywhere else these 64 columns, spread over the vocabulary.
COLUMNS = [(i * 769 + 17) % 49152 for i in range(64)]
FULL_ROWS = ("english", [0, -1])


def use_smollm_splitting(tokenizer):
    """transformers 5.23 ignores `tokenizer.ggml.pre` of a llama file; SmolLM2's own tokenizer.json cuts every digit off first, which shows in "a  1"."""
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return tokenizer


def greedy(model, ids):
    """The continuation without stopping at the end of text, and how close a second choice ever came."""
    tokens, margins, past, step = [], [], None, ids
    for _ in range(NEW_TOKENS):
        out = model(step, past_key_values=past, use_cache=True)
        past = out.past_key_values
        best = out.logits[0, -1].topk(2)
        tokens.append(best.indices[0].item())
        margins.append((best.values[0] - best.values[1]).item())
        step = best.indices[:1][None]
    return tokens, margins


@torch.no_grad()
def main():
    folder = shared_models()
    model = load_causal(folder, gguf_file=FILE)
    tokenizer = use_smollm_splitting(AutoTokenizer.from_pretrained(str(folder), gguf_file=FILE))
    tensors, prompts = {"columns": torch.tensor(COLUMNS, dtype=torch.int32)}, []
    for name, text in PROMPTS.items():
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        logits = model(ids).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:]).item()
        tokens, margins = greedy(model, ids)
        tensors[f"{name}.columns"] = logits[:, COLUMNS]
        if name == FULL_ROWS[0]:
            tensors[f"{name}.rows"] = logits[FULL_ROWS[1]]
        prompts.append({"name": name, "text": text, "ids": ids[0].tolist(), "loss": loss, "argmax": logits.argmax(-1).tolist(),
                        "logSumExp": logits.logsumexp(-1).tolist(), "continuation": tokens, "continuationText": tokenizer.decode(tokens),
                        "minMargin": min(margins), "margins": margins})
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    write_tensors(DATA / "smollm2.safetensors", tensors)
    write_json(DATA / "smollm2.json", {"file": FILE, "sha256": digest, "columns": COLUMNS, "fullRows": {"prompt": FULL_ROWS[0], "positions": FULL_ROWS[1]}, "prompts": prompts})
