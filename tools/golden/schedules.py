"""Learning rates of transformers.get_scheduler; value t is the rate that step t uses, counted from 0."""

import torch
from transformers import get_scheduler

from common import DATA, write_json

# The command's name -> the name in transformers. A constant schedule with warm-up steps is a type of its own there.
NAMES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
# (steps, warm-up steps), with the edges: one step, all warm-up, more warm-up than steps.
CASES = [(10, 0), (10, 3), (1, 0), (2, 1), (20, 5), (100, 10), (5, 5), (3, 5), (7, 1)]
BASE = 2e-4


def rates(name, steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    values = []
    for _ in range(steps):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return values


def main():
    rows = [{"schedule": ours, "steps": steps, "warmupSteps": warmup, "rates": rates(theirs, steps, warmup)}
            for ours, theirs in NAMES.items() for steps, warmup in CASES]
    write_json(DATA / "schedules.json", {"learningRate": BASE, "cases": rows})
