"""Writes the fixtures under tools/golden/data: `python tools/golden/generate.py [name...]`; without a name, all of them."""

import importlib
import sys
import time

import common  # noqa: F401  first: it sets environment variables that torch and transformers read when they are imported

# Name of the fixture -> module with a function main(). The order is that of the README.
FIXTURES = {
    "models": "models",
    "lora_training": "lora_training",
    "adapters": "adapters",
    "gpt2_adapters": "gpt2_adapters",
    "gguf": "gguf_blocks",
    "gguf_models": "gguf_models",
    "threefry": "threefry",
    "schedules": "schedules",
    "ops": "ops",
    "optimizers": "optimizers",
    "quant": "quant",
    "quant_models": "quant_models",
    "llm_int8": "llm_int8",
    "matching": "matching",
    "smollm2": "smollm2",
    "inferena": "inferena",
}


def run(names):
    unknown = [name for name in names if name not in FIXTURES]
    if unknown:
        sys.exit(f"unknown fixture {', '.join(unknown)}; there are {', '.join(FIXTURES)}")
    for name in names or FIXTURES:
        start = time.time()
        importlib.import_module(FIXTURES[name]).main()
        print(f"{name}: {time.time() - start:.1f} s")


if __name__ == "__main__":
    run(sys.argv[1:])
