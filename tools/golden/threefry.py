"""JAX's counter-based generator: raw Threefry-2x32 and what jax.random makes of it, in both of JAX's layouts."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32

from common import DATA, write_json

SEEDS = [0, 1, 42, 0xFFFFFFFF]
SHAPES = [[], [1], [2], [5], [7], [8], [33], [3, 5]]
# Key, counter. The first three are the test vectors published with Random123.
RAW = [((0, 0), (0, 0)), ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)), ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)),
       ((0, 1), (0, 1)), ((123456789, 987654321), (7, 8)), ((0, 42), (0xDEADBEEF, 0))]


def numbers(array):
    """float32 values come out as the exact decimal of their float64 image, so a reader gets every bit back."""
    return np.asarray(array).reshape(-1).tolist()


def raw():
    rows = []
    for key, counter in RAW:
        out = threefry_2x32(jnp.array(key, dtype=jnp.uint32), jnp.array(counter, dtype=jnp.uint32))
        rows.append({"key": list(key), "counter": list(counter), "out": numbers(out)})
    return rows


def draws(seed):
    key = jax.random.PRNGKey(seed)
    per_shape = []
    for shape in SHAPES:
        per_shape.append({
            "shape": shape,
            "bits": numbers(jax.random.bits(key, shape, "uint32")),
            "uniform": numbers(jax.random.uniform(key, shape, "float32")),
            "uniformRange": numbers(jax.random.uniform(key, shape, "float32", -0.25, 0.25)),
            "normal": numbers(jax.random.normal(key, shape, "float32")),
            "bernoulli0.3": [int(b) for b in numbers(jax.random.bernoulli(key, 0.3, tuple(shape)))],
        })
    return {"seed": seed, "key": numbers(key), "shapes": per_shape,
            "foldIn": [{"data": d, "key": numbers(jax.random.fold_in(key, d))} for d in (0, 1, 2, 1000, 0xFFFFFFFF)],
            "split": [{"count": n, "keys": np.asarray(jax.random.split(key, n)).tolist()} for n in (2, 3, 5)]}


def main():
    layouts = {}
    for partitionable in (True, False):
        jax.config.update("jax_threefry_partitionable", partitionable)
        layouts["partitionable" if partitionable else "original"] = [draws(seed) for seed in SEEDS]
    write_json(DATA / "threefry.json", {"uniformRange": [-0.25, 0.25], "raw": raw(), **layouts})
