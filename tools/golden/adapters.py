"""Adapters as PEFT saves them, with the logits of base, adapted and merged model; and configurations that Graft has to refuse."""

import json

import torch
from peft import IA3Config, LoHaConfig, LoraConfig, PeftModel, PrefixTuningConfig

from common import fresh_folder, llama_config, load_causal, read_tensors, token_rows, write_json, write_tensors
from lora_training import new_adapter, save_adapter, sort_sets
from models import save_random

ATTENTION = ["q_proj", "v_proj"]
ACCEPTED = {
    "plain": dict(r=4, lora_alpha=8, target_modules=ATTENTION),
    "rslora": dict(r=4, lora_alpha=5, target_modules=ATTENTION, use_rslora=True),
    "patterns": dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "down_proj"], rank_pattern={"layers.0.self_attn.q_proj": 2, "down_proj": 6},
                     alpha_pattern={"k_proj": 3, "layers.1.mlp.down_proj": 9}),
    "all-linear": dict(r=3, lora_alpha=4, target_modules="all-linear"),
    "layers": dict(r=4, lora_alpha=8, target_modules=ATTENTION, layers_to_transform=[1]),
    "excluded": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], exclude_modules=["model.layers.0.self_attn.q_proj", "up_proj"]),
    "regex": dict(r=2, lora_alpha=4, target_modules=r".*\.layers\.1\..*\.(k_proj|gate_proj)"),
    "head": dict(r=4, lora_alpha=8, target_modules=["o_proj", "lm_head"]),
    "named": dict(r=4, lora_alpha=8, target_modules=ATTENTION, adapter_name="poet"),  # PEFT saves it in the subfolder poet
}

# One option away from its default each. As PEFT writes them, without weights: a reader has to stop at the configuration.
PLAIN = dict(r=4, lora_alpha=8, target_modules=ATTENTION, task_type="CAUSAL_LM", base_model_name_or_path="base", inference_mode=True)
REFUSED = {
    "use_dora": dict(use_dora=True),
    "bias_all": dict(bias="all"),
    "bias_lora_only": dict(bias="lora_only"),
    "lora_bias": dict(lora_bias=True),
    "modules_to_save": dict(modules_to_save=["lm_head"]),
    "target_parameters": dict(target_parameters=["mlp.gate_proj.weight"]),
    "trainable_token_indices": dict(trainable_token_indices=[1, 2]),
    "layer_replication": dict(layer_replication=[[0, 2], [1, 2]]),
    "alora_invocation_tokens": dict(alora_invocation_tokens=[5, 6]),
    "use_qalora": dict(use_qalora=True),
    "megatron_config": dict(megatron_config={"tensor_model_parallel_size": 1}),
}
OTHER_KINDS = {
    "ia3": lambda: IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"),
    "loha": lambda: LoHaConfig(target_modules=ATTENTION, task_type="CAUSAL_LM"),
    "prefix_tuning": lambda: PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
}


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids).logits


def expect(folder, name, adapter, ids, base):
    """From the saved files, not from the model that wrote them. Merged weights are listed where they differ from the base's."""
    model = PeftModel.from_pretrained(load_causal(folder / "base"), str(adapter)).eval()
    adapted = logits_of(model, ids)
    merged = model.merge_and_unload()
    before = base.state_dict()
    changed = {f"merged.{k}": v for k, v in merged.state_dict().items() if not torch.equal(v, before[k])}
    write_tensors(folder / f"{name}.expect.safetensors",
                  {"input_ids": ids.int(), "base_logits": logits_of(base, ids), "adapted_logits": adapted, "merged_logits": logits_of(merged, ids), **changed})


def half_precision(source, target):
    """The plain adapter in float16, as trainers that keep half precision save it."""
    target.mkdir()
    (target / "adapter_config.json").write_text((source / "adapter_config.json").read_text())
    write_tensors(target / "adapter_model.safetensors", {k: v.half() for k, v in read_tensors(source / "adapter_model.safetensors").items()})


def minimal(source, target):
    """The few keys that older versions of PEFT wrote; all others have to take their defaults."""
    target.mkdir()
    config = json.loads((source / "adapter_config.json").read_text())
    kept = {k: config[k] for k in ("peft_type", "r", "lora_alpha", "target_modules")}
    (target / "adapter_config.json").write_text(json.dumps(kept, indent=2) + "\n")
    write_tensors(target / "adapter_model.safetensors", read_tensors(source / "adapter_model.safetensors"))


def main():
    folder = fresh_folder("adapters")
    # Untied, so that an adapter on the output head is possible.
    save_random(folder / "base", llama_config(vocab_size=72, tie_word_embeddings=False), torch.float32, seed=300)
    base = load_causal(folder / "base")
    ids, _ = token_rows(2, 9, 72, seed=301)
    index = {}
    for seed, (name, options) in enumerate(ACCEPTED.items(), start=310):
        save_adapter(new_adapter(folder / "base", seed, **options), folder / name)
        index[name] = f"{name}/{options['adapter_name']}" if "adapter_name" in options else name
    half_precision(folder / "plain", folder / "half")
    minimal(folder / "plain", folder / "minimal")
    index.update(half="half", minimal="minimal")
    for name, path in index.items():
        expect(folder, name, folder / path, ids, base)
    for name, option in REFUSED.items():
        LoraConfig(**{**PLAIN, **option}).save_pretrained(str(folder / "refuse" / name))
    for name, config in OTHER_KINDS.items():
        config().save_pretrained(str(folder / "refuse" / name))
    for path in (folder / "refuse").rglob("adapter_config.json"):
        sort_sets(path)
    write_json(folder / "adapters.json", {"base": "base", "accepted": index, "refused": [*REFUSED, *OTHER_KINDS]})
