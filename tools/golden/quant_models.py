"""Tiny models that transformers quantized with bitsandbytes and saved, what they compute, and LoRA trainings on them by PEFT.

bitsandbytes' own layers would not do as a reference: on a CPU the 4-bit one rounds to bfloat16 and wants widths that are whole blocks, and the
8-bit one quantizes activations too. So both compute here as "dequantize, then a float32 product". The 4-bit values are put together by hand:
the AVX-512 dequantize_4bit (0.50.2) takes scales of other blocks where the width is a multiple of 16 and not of the block.
"""

import json

import bitsandbytes as bnb
import torch
from bitsandbytes import functional as F
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen2Config

import lora_training
from common import DATA, drop_extras, fresh_folder, generator, load_causal, token_rows, write_json, write_tensors
from lora_training import LEARNING_RATE, MAX_GRAD_NORM, WARMUP, WEIGHT_DECAY, save_adapter, write_rows
from models import SMALL, save_random

STEPS, ROWS, BATCH, LENGTH = 10, 5, 2, 12


def wide():
    """Widths of which no product is a multiple of 64: every matrix ends in a short block."""
    small = dict(SMALL, vocab_size=70, hidden_size=36, intermediate_size=50, num_attention_heads=3, num_key_value_heads=1)
    return Qwen2Config(**small, tie_word_embeddings=True, use_sliding_window=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6})


NF4 = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4")
DOUBLE = dict(NF4, bnb_4bit_use_double_quant=True)
# name -> (a model of `models`, or None for `wide`; BitsAndBytesConfig; options of save_pretrained)
CASES = {
    "llama-nf4": ("llama-odd", NF4, {}),
    "llama-fp4": ("llama-odd", dict(load_in_4bit=True), {}),
    "llama-int8": ("llama-odd", dict(load_in_8bit=True), {}),
    "llama-nf4-bf16": ("llama-bf16", dict(DOUBLE, bnb_4bit_compute_dtype="bfloat16", bnb_4bit_quant_storage="bfloat16"), {}),
    "llama-int8-f16": ("llama-f16", dict(load_in_8bit=True), {}),
    "sharded-nf4-skip": ("sharded", dict(DOUBLE, llm_int8_skip_modules=["lm_head", "k_proj", "model.layers.1.mlp"]), {"max_shard_size": "20KB"}),
    "qwen2-nf4-double": (None, DOUBLE, {}),
    # transformers turns the weights of a Conv1D before it quantizes them.
    "gpt2-nf4": ("gpt2-odd", NF4, {}),
    "gpt2-int8": ("gpt2", dict(load_in_8bit=True), {}),
}
TRAINED = ("llama-nf4", "qwen2-nf4-double")
KEPT = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_proj")


def values_of(layer):
    """float32 weights of a quantized layer, before they are rounded to the dtype that they came from."""
    if isinstance(layer, bnb.nn.Linear8bitLt):
        return F.int8_vectorwise_dequant(layer.weight.data, layer.weight.SCB if layer.state.SCB is None else layer.state.SCB)
    state = layer.weight.quant_state
    absmax = state.absmax
    if state.nested:
        absmax = F.dequantize_blockwise(absmax, state.state2) + state.offset
    packed = layer.weight.data.reshape(-1).view(torch.uint8)
    codes = torch.stack([packed >> 4, packed & 15], dim=1).reshape(-1)[: state.shape.numel()].long()
    scales = absmax.repeat_interleave(state.blocksize)[: codes.numel()]
    return (state.code[codes] * scales).reshape(state.shape)


def forward(layer, x):
    return torch.nn.functional.linear(x, values_of(layer), layer.bias)


bnb.nn.Linear4bit.forward = forward
bnb.nn.Linear8bitLt.forward = forward


def quantized_layers(model):
    kinds = (bnb.nn.Linear4bit, bnb.nn.Linear8bitLt)
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}


def load(folder):
    """In float32 but for the packed weights: of a quantized folder transformers keeps the stored dtype whatever it is told."""
    model = load_causal(folder)
    for layer in model.modules():
        for p in layer.parameters(recurse=False):
            if not isinstance(p, (bnb.nn.Params4bit, bnb.nn.Int8Params)):
                p.data = p.data.float()
    return model


def quantize(source, folder, options, saving):
    model = AutoModelForCausalLM.from_pretrained(str(source), quantization_config=BitsAndBytesConfig(**options), device_map="cpu", dtype="auto")
    model.save_pretrained(str(folder), **saving)
    drop_extras(folder)


def expect(folder, name, source, options, seed):
    model = load(folder / name)
    ids, labels = token_rows(2, 9, model.config.vocab_size, seed)
    with torch.no_grad():
        out = model(input_ids=ids, labels=labels)
    layers = quantized_layers(model)
    kept = {f"values.{path}.weight": values_of(layers[path]) for path in KEPT if path in layers}
    write_tensors(folder / f"{name}.expect.safetensors", {"input_ids": ids.int(), "labels": labels.int(), "logits": out.logits, **kept})
    write_json(folder / f"{name}.json", {"bitsandbytes": bnb.__version__, "source": source and f"models/{source}", "options": options,
                                         "quantized": sorted(layers), "loss": out.loss.item()})


def train(folder, name, seed):
    """Ten AdamW steps of a LoRA adapter, as `lora_training`, on the folder as it was saved."""
    def base():
        model = prepare_model_for_kbit_training(load(folder / name), use_gradient_checkpointing=False)
        model.name_or_path = name
        return model

    model = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear"))
    g = generator(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_" in key:
                p.copy_(0.15 * torch.randn(p.shape, generator=g))
    to = folder / f"{name}.training"
    save_adapter(model, to / "start")
    ids, labels = token_rows(ROWS, LENGTH, model.config.vocab_size, seed + 1)
    write_rows(to / "train.jsonl", ids, labels)
    lora_training.STEPS, lora_training.ROWS, lora_training.BATCH = STEPS, ROWS, BATCH
    steps = lora_training.train(model, ids, labels)
    save_adapter(model, to / "final")
    saved = PeftModel.from_pretrained(base(), str(to / "final")).eval()
    with torch.no_grad():
        after = saved(ids).logits
    write_tensors(to / "expect.safetensors", {"input_ids": ids.int(), "labels": labels.int(), "final_logits": after})
    write_json(to / "run.json", {
        "base": name, "batchSize": BATCH, "steps": STEPS, "schedule": "linear", "warmupSteps": WARMUP, "learningRate": LEARNING_RATE,
        "weightDecay": WEIGHT_DECAY, "maxGradNorm": MAX_GRAD_NORM, "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad), "trajectory": steps,
    })


def main():
    folder = fresh_folder("quant_models")
    for seed, (name, (source, options, saving)) in enumerate(CASES.items(), start=600):
        dense = DATA / "models" / source if source else folder / f"{name}.source"
        if not source:
            save_random(dense, wide(), torch.float32, seed)
        quantize(dense, folder / name, options, saving)
        expect(folder, name, source, options, seed + 1000)
        if name in TRAINED:
            train(folder, name, seed + 2000)
