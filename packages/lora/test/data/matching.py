"""What PEFT's matching says about random configurations: python matching.py > matching.json (peft 0.21.2)."""
import json
import random
import peft
from types import SimpleNamespace as NS
from peft.tuners.tuners_utils import check_target_module_exists, _ExcludedModule
from peft.utils.other import get_pattern_key
random.seed(7)
cases=[]
names=["q_proj","k_proj","v_proj","up_proj","down_proj"]
paths=[f"model.layers.{i}.{b}.{n}" for i in (0,1,2,10,11) for b,ns in (("self_attn",names[:3]),("mlp",names[3:])) for n in ns]+["lm_head","layers.0.q_proj","model.layers.1.experts.3.q_proj","0","1.0","a.0.q_proj","h.2.1.v_proj","enc.layers.1.q_proj","xq_proj","model.layers.q_proj"]
frag=["q_proj","k_proj","v_proj","proj","layers.0.self_attn.q_proj","self_attn.q_proj","model.layers.1.mlp.up_proj","lm_head","0","layers","experts.3.q_proj"]
pats=[r".*\.layers\.1\..*\.(k_proj|q_proj)",r".*q_proj",r"(model\.)?layers\.\d+\..*",r"model\.layers\.[0-2]\..*",r".*\.(?:1|10)\.(?:self_attn\.)?[qv]_proj",r"[^m].*",r".*?proj",r"model\.layers\.\d{2,}\.mlp\.\w+",r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:q_proj|up_proj))",r"^lm_head$",r"a|lm_head",r"(0|1\.0)",r".*\.1[01]?\..*",r"([a-z_]+\.)*\d+",r"x?q_proj",r"(model|enc)\.layers\.\d\..+k.*", r"", r".*\b0\b.*"]
keys=["q_proj","layers.0.self_attn.q_proj",r"layers\.[01]\..*","proj",r".*_proj","0","lm_head",r"self_attn.q_proj","q_proj|k_proj",r"layers.1.*"]
def sub(items, most):
    return random.sample(items, random.randint(1, most))

for _ in range(400):
    t=random.random()
    tm=random.choice(pats) if t<.4 else sub(frag+paths[:4],4)
    ex=None if random.random()<.5 else (random.choice(pats[:-1]) if random.random()<.4 else sub(frag,2))
    lt=lp=None
    if not isinstance(tm,str) and random.random()<.6:
        lt=random.choice([[0],[1],[0,1],[10],[3],[2,11],1])
        if random.random()<.5: lp=random.choice(["layers",["layers","h"],["a"],["experts"],[]])
    rp={k:random.randint(1,9) for k in random.sample(keys,random.randint(0,3))}
    c=NS(target_modules=set(tm) if isinstance(tm,list) else tm,exclude_modules=set(ex) if isinstance(ex,list) else ex,layers_to_transform=lt,layers_pattern=lp,modules_to_save=None,target_parameters=None)
    def matches(path):
        result = check_target_module_exists(c, path)
        return bool(result) and not isinstance(result, _ExcludedModule)
    cases.append({"config": {"peft_type": "LORA", "target_modules": tm, "exclude_modules": ex, "layers_to_transform": lt, "layers_pattern": lp, "rank_pattern": rp},
                  "matched": [i for i, path in enumerate(paths) if matches(path)],
                  "ranks": [rp.get(get_pattern_key(rp.keys(), path), 8) for path in paths]})
lines = ",\n".join(json.dumps(case) for case in cases)
print(f'{{"peft": "{peft.__version__}", "paths": {json.dumps(paths)}, "cases": [\n{lines}\n]}}')
