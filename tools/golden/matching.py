"""PEFT's own words on random configurations: which paths are targets, and which rank each path gets."""

import random
from types import SimpleNamespace

from common import DATA, write_json
from peft.tuners.tuners_utils import _ExcludedModule, check_target_module_exists
from peft.utils.other import get_pattern_key

ATTENTION, MLP = ["q_proj", "k_proj", "v_proj"], ["up_proj", "down_proj"]
PATHS = [f"model.layers.{i}.{block}.{name}" for i in (0, 1, 2, 10, 11) for block, names in (("self_attn", ATTENTION), ("mlp", MLP)) for name in names] + [
    "lm_head", "layers.0.q_proj", "model.layers.1.experts.3.q_proj", "0", "1.0", "a.0.q_proj", "h.2.1.v_proj", "enc.layers.1.q_proj", "xq_proj", "model.layers.q_proj"]
NAMES = ["q_proj", "k_proj", "v_proj", "proj", "layers.0.self_attn.q_proj", "self_attn.q_proj", "model.layers.1.mlp.up_proj", "lm_head", "0", "layers", "experts.3.q_proj"]
PATTERNS = [r".*\.layers\.1\..*\.(k_proj|q_proj)", r".*q_proj", r"(model\.)?layers\.\d+\..*", r"model\.layers\.[0-2]\..*", r".*\.(?:1|10)\.(?:self_attn\.)?[qv]_proj",
            r"[^m].*", r".*?proj", r"model\.layers\.\d{2,}\.mlp\.\w+", r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:q_proj|up_proj))", r"^lm_head$", r"a|lm_head",
            r"(0|1\.0)", r".*\.1[01]?\..*", r"([a-z_]+\.)*\d+", r"x?q_proj", r"(model|enc)\.layers\.\d\..+k.*", r"", r".*\b0\b.*"]
RANK_KEYS = ["q_proj", "layers.0.self_attn.q_proj", r"layers\.[01]\..*", "proj", r".*_proj", "0", "lm_head", r"self_attn.q_proj", "q_proj|k_proj", r"layers.1.*"]


def some(items, most):
    return random.sample(items, random.randint(1, most))


def random_config():
    draw = random.random()
    targets = random.choice(PATTERNS) if draw < 0.4 else some(NAMES + PATHS[:4], 4)
    excluded = None if random.random() < 0.5 else (random.choice(PATTERNS[:-1]) if random.random() < 0.4 else some(NAMES, 2))
    layers = layers_pattern = None
    if not isinstance(targets, str) and random.random() < 0.6:
        layers = random.choice([[0], [1], [0, 1], [10], [3], [2, 11], 1])
        if random.random() < 0.5:
            layers_pattern = random.choice(["layers", ["layers", "h"], ["a"], ["experts"], []])
    ranks = {key: random.randint(1, 9) for key in random.sample(RANK_KEYS, random.randint(0, 3))}
    return {"peft_type": "LORA", "target_modules": targets, "exclude_modules": excluded, "layers_to_transform": layers, "layers_pattern": layers_pattern, "rank_pattern": ranks}


def matched(config):
    as_set = lambda names: set(names) if isinstance(names, list) else names
    asked = SimpleNamespace(**{**config, "target_modules": as_set(config["target_modules"]), "exclude_modules": as_set(config["exclude_modules"])}, modules_to_save=None, target_parameters=None)
    answers = [check_target_module_exists(asked, path) for path in PATHS]
    return [i for i, answer in enumerate(answers) if answer and not isinstance(answer, _ExcludedModule)]


def main():
    random.seed(7)
    cases = []
    for _ in range(400):
        config = random_config()
        ranks = config["rank_pattern"]
        cases.append({"config": config, "matched": matched(config), "ranks": [ranks.get(get_pattern_key(ranks.keys(), path), 8) for path in PATHS]})
    write_json(DATA / "matching.json", {"paths": PATHS, "cases": cases})
