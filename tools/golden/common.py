"""What every golden script shares: where fixtures go, which versions made them, seeded tensors, tiny models."""

import json
import os
import platform
import re
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

# Nothing here may depend on a network: adapters and models are always local folders.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# transformers warns of an attribute that PEFT still uses.
warnings.filterwarnings("ignore", category=FutureWarning)

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

transformers_logging.disable_progress_bar()

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
PACKAGES = ("torch", "transformers", "peft", "safetensors", "gguf", "tokenizers", "jax", "numpy")

# One thread: the order of a float32 sum must not depend on how many cores the machine has.
torch.set_num_threads(1)


def versions():
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def shared_models():
    return Path(os.environ.get("GRAFT_MODELS", HERE.parents[2] / "shared" / "models"))


def fresh_folder(name):
    """An empty data/<name>: a fixture that is no longer made must not linger."""
    folder = DATA / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": versions(), **content}, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(_inline_numbers(text) + "\n", encoding="utf-8")


def _inline_numbers(text):
    """Puts lists of plain numbers on one line each; json.dumps would spend a line on every number."""
    number = r"-?\d[\d.eE+-]*"
    pattern = re.compile(rf"\[\s*({number}(?:,\s*{number})*)\s*\]")
    return pattern.sub(lambda m: "[" + ", ".join(m.group(1).replace(",", " ").split()) + "]", text)


def write_tensors(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    # clone: safetensors refuses tensors that share memory (tied weights, views).
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, str(path), metadata={"format": "pt"})


def read_tensors(path):
    return load_file(str(path))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def randomise(model, seed):
    """Fills a model with weights large enough that a wrong operation shows: Hugging Face's std 0.02 leaves logits near zero."""
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if "norm" in name or "ln_" in name:
                p.copy_((0 if name.endswith("bias") else 1) + 0.2 * noise)
            elif "embed" in name or "lm_head" in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(0.3 * noise)
    return model


def token_rows(rows, length, vocabulary, seed, ignored=0.2):
    """Random input_ids and labels; a share of the labels is -100, as prompt tokens would be."""
    g = generator(seed)
    ids = torch.randint(0, vocabulary, (rows, length), generator=g)
    labels = torch.where(torch.rand(rows, length, generator=g) < ignored, torch.full_like(ids, -100), ids)
    return ids, labels


def llama_config(**over):
    from transformers import LlamaConfig

    small = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True,
                 bos_token_id=0, eos_token_id=0, pad_token_id=0)
    return LlamaConfig(**{**small, **over})


def gpt2_config(**over):
    from transformers import GPT2Config

    # Dropout is off in evaluation; as a base for training it would not be.
    small = dict(vocab_size=96, n_embd=32, n_head=4, n_layer=2, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                 bos_token_id=0, eos_token_id=0, pad_token_id=0)
    return GPT2Config(**{**small, **over})


def load_causal(folder, **over):
    """Loads a folder in float32 with the plain attention, whose sums are the ones that Graft's definition spells out."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32, attn_implementation="eager", **over).eval()


def drop_extras(folder):
    """Removes what the save functions add and no test reads (model card, generation defaults)."""
    for name in ("README.md", "generation_config.json"):
        for path in folder.rglob(name):
            path.unlink()
