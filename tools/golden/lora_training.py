"""Twenty AdamW steps of a LoRA adapter by PEFT and torch, step by step: what `graft finetune` has to repeat."""

import json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import get_scheduler

from common import drop_extras, fresh_folder, generator, llama_config, load_causal, token_rows, write_json, write_tensors
from models import save_random

STEPS, WARMUP, LEARNING_RATE, WEIGHT_DECAY, MAX_GRAD_NORM = 20, 3, 5e-3, 0.01, 1.0
ROWS, BATCH, LENGTH = 6, 2, 12

VARIANTS = {
    "all-linear": dict(r=4, lora_alpha=8, target_modules="all-linear"),
    # q_proj of layer 1 gets both patterns, the other three modules none or one.
    "patterns": dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj"],
                     rank_pattern={"layers.1.self_attn.q_proj": 2}, alpha_pattern={"q_proj": 5, "layers.0.self_attn.v_proj": 9}),
}


def new_adapter(folder, seed, adapter_name="default", **options):
    """A PEFT model over the base in `folder` whose A and B are both random: with B = 0 half of the arithmetic would go unseen."""
    base = load_causal(folder)
    base.name_or_path = folder.name  # goes into adapter_config.json, which must not hold this machine's paths
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options), adapter_name=adapter_name)
    g = generator(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(0.15 * torch.randn(p.shape, generator=g))
    return model


def save_adapter(model, folder):
    # save_embedding_layers: "auto" would ask the hub for the base model's vocabulary.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    drop_extras(folder)
    for path in folder.rglob("adapter_config.json"):
        sort_sets(path)


def sort_sets(path):
    """PEFT keeps these as sets and writes them in an order that changes from run to run."""
    config = json.loads(path.read_text())
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config.get(key), list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def train(model, ids, labels):
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=WEIGHT_DECAY)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=WARMUP, num_training_steps=STEPS)
    steps = []
    model.train()
    for step in range(STEPS):
        rows = [(step * BATCH + i) % ROWS for i in range(BATCH)]
        optimizer.zero_grad()
        loss = model(input_ids=ids[rows], labels=labels[rows]).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
        steps.append({"step": step + 1, "rows": rows, "loss": loss.item(), "gradNorm": norm.item(), "learningRate": optimizer.param_groups[0]["lr"]})
        optimizer.step()
        scheduler.step()
    model.eval()
    return steps


def write_rows(path, ids, labels):
    rows = [json.dumps({"input_ids": i.tolist(), "labels": l.tolist()}) for i, l in zip(ids, labels)]
    path.write_text("\n".join(rows) + "\n")


def main():
    folder = fresh_folder("lora_training")
    base = folder / "base"
    save_random(base, llama_config(vocab_size=80), torch.float32, seed=200)
    ids, labels = token_rows(ROWS, LENGTH, 80, seed=201)
    write_rows(folder / "train.jsonl", ids, labels)
    for seed, (name, options) in enumerate(VARIANTS.items(), start=210):
        model = new_adapter(base, seed, **options)
        save_adapter(model, folder / name / "start")
        with torch.no_grad():
            before = model(ids).logits
        steps = train(model, ids, labels)
        save_adapter(model, folder / name / "final")
        # From the files rather than from memory: the saved adapter is what is compared.
        saved = PeftModel.from_pretrained(load_causal(base), str(folder / name / "final")).eval()
        with torch.no_grad():
            after = saved(ids).logits
        write_tensors(folder / name / "expect.safetensors",
                      {"input_ids": ids.int(), "labels": labels.int(), "start_logits": before, "final_logits": after})
        write_json(folder / name / "run.json", {
            "base": "../base", "data": "../train.jsonl", "start": "start", "final": "final", "batchSize": BATCH, "steps": STEPS, "schedule": "linear",
            "warmupSteps": WARMUP, "learningRate": LEARNING_RATE, "weightDecay": WEIGHT_DECAY, "maxGradNorm": MAX_GRAD_NORM, "betas": [0.9, 0.999], "eps": 1e-8,
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad), "trajectory": steps,
        })
