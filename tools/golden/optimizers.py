"""Trajectories of single parameters under torch's optimizers and the clipping of gradients, in float64."""

import torch

from common import DATA, generator, write_json

STEPS = 8
ADAMW = [dict(lr=0.1), dict(lr=0.01, weight_decay=0.1), dict(lr=0.05, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.0), dict(lr=0.1, eps=0.5, weight_decay=0.5)]
SGD = [dict(lr=0.1), dict(lr=0.1, momentum=0.9), dict(lr=0.1, momentum=0.9, nesterov=True), dict(lr=0.1, momentum=0.9, dampening=0.5), dict(lr=0.1, momentum=0.5, weight_decay=0.2)]
# torch's AdamW decays by 0.01 unless told otherwise; the fixture says every option in full.
DEFAULTS = {"adamw": dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01), "sgd": dict(momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0)}


def trajectory(make, options, g):
    parameter = torch.nn.Parameter(torch.randn(5, generator=g, dtype=torch.float64))
    optimizer = make([parameter], **options)
    start, gradients, after = parameter.tolist(), [], []
    for step in range(STEPS):
        gradient = torch.randn(5, generator=g, dtype=torch.float64)
        if step == 3:
            gradient[2] = 0.0
        parameter.grad = gradient
        gradients.append(gradient.tolist())
        optimizer.step()
        after.append(parameter.tolist())
    return {"options": {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}, "start": start, "gradients": gradients, "after": after}


def clipping(g):
    rows = []
    for limit, scale in ((1.0, 1.0), (1.0, 1e-3), (0.5, 10.0), (100.0, 1.0)):
        parameters = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in ((3,), (2, 2))]
        for p in parameters:
            p.grad = scale * torch.randn(p.shape, generator=g, dtype=torch.float64)
        before = [p.grad.flatten().tolist() for p in parameters]
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
        rows.append({"maxNorm": limit, "gradients": before, "norm": norm, "clipped": [p.grad.flatten().tolist() for p in parameters]})
    return rows


def main():
    g = generator(800)
    makers = {"adamw": (torch.optim.AdamW, ADAMW), "sgd": (torch.optim.SGD, SGD)}
    runs = {name: [trajectory(make, {**DEFAULTS[name], **o}, g) for o in options] for name, (make, options) in makers.items()}
    write_json(DATA / "optimizers.json", {**runs, "clipGradNorm": clipping(g)})
