"""Tiny Hugging Face folders of every family and spelling that Graft reads, with logits, loss and all gradients."""

import json

import torch
from transformers import AutoModelForCausalLM, MistralConfig, Qwen2Config

from common import drop_extras, fresh_folder, gpt2_config, llama_config, load_causal, randomise, token_rows, write_json, write_tensors

SMALL = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=0, eos_token_id=0, pad_token_id=0)


def old_llama3(config):
    """The released Llama-3 checkpoints say rope_theta and rope_scaling; transformers 5 writes rope_parameters instead."""
    config.pop("rope_parameters")
    config["rope_theta"] = 10000.0
    config["rope_scaling"] = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                              "original_max_position_embeddings": 32, "rope_type": "llama3"}
    config["torch_dtype"] = config.pop("dtype")


def old_plain(config):
    """As Qwen2 and Mistral were released: rope_theta at the top level, no head_dim."""
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config.pop("head_dim", None)
    config.pop("layer_types", None)
    config["torch_dtype"] = config.pop("dtype")


# The three wavelength bands of llama3 scaling (kept, blended, divided) all occur with head size 16 and original length 32.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}

# name -> (config, dtype of the stored weights, rewriting of config.json or None, options of save_pretrained)
CASES = {
    "llama": (lambda: llama_config(), torch.float32, None, {}),
    "llama-odd": (lambda: llama_config(vocab_size=67, hidden_size=42, intermediate_size=56, num_attention_heads=3, num_key_value_heads=1, head_dim=10,
                                       attention_bias=True, mlp_bias=True, tie_word_embeddings=False, rms_norm_eps=1e-6), torch.float32, None, {}),
    "llama3-rope": (lambda: llama_config(hidden_size=48, num_attention_heads=3, num_key_value_heads=3, head_dim=16, rope_parameters=dict(LLAMA3)),
                    torch.float32, old_llama3, {}),
    "linear-rope": (lambda: llama_config(tie_word_embeddings=False, rope_parameters={"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}),
                    torch.float32, None, {}),
    "mistral": (lambda: MistralConfig(**SMALL, sliding_window=None, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
                torch.float32, old_plain, {}),
    "qwen2": (lambda: Qwen2Config(**SMALL, tie_word_embeddings=True, use_sliding_window=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
              torch.float32, old_plain, {}),
    "sharded": (lambda: llama_config(vocab_size=130, tie_word_embeddings=False), torch.float32, None, {"max_shard_size": "40KB"}),
    "llama-f16": (lambda: llama_config(), torch.float16, None, {}),
    "llama-bf16": (lambda: llama_config(), torch.bfloat16, None, {}),
    "gpt2": (lambda: gpt2_config(), torch.float32, None, {}),
    "gpt2-odd": (lambda: gpt2_config(vocab_size=67, n_embd=42, n_head=3, n_inner=50, n_positions=11, activation_function="gelu", layer_norm_epsilon=1e-6,
                                     tie_word_embeddings=False), torch.float16, None, {}),
}


def save_random(folder, config, dtype, seed, rewrite=None, **options):
    model = randomise(AutoModelForCausalLM.from_config(config), seed).to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(str(folder), **options)
    drop_extras(folder)
    if rewrite:
        path = folder / "config.json"
        content = json.loads(path.read_text())
        rewrite(content)
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def forward_backward(model, ids, labels):
    model.zero_grad()
    out = model(input_ids=ids, labels=labels)
    out.loss.backward()
    gradients = {f"grad.{name}": p.grad.clone() for name, p in model.named_parameters()}  # a tied weight is listed once
    return out.logits.detach(), out.loss.item(), gradients


def relative(a, b):
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def expect(folder, name, seed):
    model = load_causal(folder / name)
    ids, labels = token_rows(2, 11, model.config.vocab_size, seed)
    logits, loss, gradients = forward_backward(model, ids, labels)
    # The same in float64 tells how much of a difference is rounding. (transformers keeps its norms and softmax in float32 even so.)
    logits64, loss64, gradients64 = forward_backward(model.double(), ids, labels)
    write_tensors(folder / f"{name}.expect.safetensors", {"input_ids": ids.int(), "labels": labels.int(), "logits": logits, **gradients})
    write_json(folder / f"{name}.json", {
        "folder": name, "loss": loss, "targets": int((labels[:, 1:] != -100).sum()),
        "float32Noise": {"logits": relative(logits, logits64), "loss": abs(loss - loss64),
                         "gradients": max(relative(g, gradients64[k]) for k, g in gradients.items())},
    })


def main():
    folder = fresh_folder("models")
    for seed, (name, (config, dtype, rewrite, options)) in enumerate(CASES.items(), start=100):
        save_random(folder / name, config(), dtype, seed, rewrite, **options)
        expect(folder, name, seed + 1000)
