"""Blocks of every GGUF type: bytes and the float32 values that the gguf package reads from them, bit for bit."""

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

from common import fresh_folder, write_json, write_tensors

# The package also writes these, with the same bytes as ggml's C code; the K-quants it only reads.
WRITTEN = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]
# Type -> byte offsets of its float16 fields. Random bytes everywhere else are valid; a random float16 could be infinite.
HALF_FIELDS = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
               Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
# Zero of both signs, smallest and largest subnormal, smallest normal, one of each sign, a third, the largest.
EDGE_SCALES = np.array([0.0, -0.0, 2.0**-24, 1023 * 2.0**-24, 2.0**-14, 1.0, -1.0, 1 / 3, -0.1, 65504.0], dtype=np.float16)


def sources(rng):
    """Rows of 256 values: ordinary ones, then the cases in which quantizers go wrong."""
    rows = [rng.normal(size=256), rng.normal(size=256) * 1e-3, rng.uniform(-1, 1, size=256) * 100]
    rows.append(np.zeros(256))
    rows.append(np.full(256, 0.75))
    rows.append(np.tile([1.0, -1.0], 128))            # two values of largest magnitude, of opposite sign
    rows.append(np.linspace(-8, 7, 256))              # ties between two codes
    rows.append(np.where(np.arange(256) % 32 == 5, -3.0, 0.0))  # one value per block of 32
    rows.append(rng.normal(size=256) * 1e-7)          # scales that are subnormal in float16
    return np.stack(rows).astype(np.float32)


def random_blocks(kind, rng):
    """Two ordinary blocks and one for each edge scale."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    scales = np.concatenate([rng.normal(scale=0.05, size=2).astype(np.float16), EDGE_SCALES])
    blocks = rng.integers(0, 256, size=(len(scales), size), dtype=np.uint8)
    for number, offset in enumerate(HALF_FIELDS[kind]):
        blocks[:, offset : offset + 2] = np.roll(scales, number).view(np.uint8).reshape(-1, 2)
    return blocks


def as_bytes(array):
    return torch.from_numpy(np.ascontiguousarray(array).view(np.uint8).reshape(-1).copy())


def as_values(array):
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).reshape(-1).copy())


def main():
    folder = fresh_folder("gguf")
    rng = np.random.default_rng(400)
    source = sources(rng)
    tensors = {"source": torch.from_numpy(source)}
    for kind in WRITTEN:
        packed = gguf.quantize(source, kind)
        tensors[f"{kind.name}.quantized"] = as_bytes(packed)
        tensors[f"{kind.name}.quantized_values"] = as_values(gguf.dequantize(packed, kind))
    for kind in HALF_FIELDS:
        blocks = random_blocks(kind, rng)
        assert np.isfinite(gguf.dequantize(blocks, kind)).all()
        tensors[f"{kind.name}.bytes"] = as_bytes(blocks)
        tensors[f"{kind.name}.values"] = as_values(gguf.dequantize(blocks, kind))
    write_tensors(folder / "blocks.safetensors", tensors)
    types = {k.name: {"id": k.value, "blockSize": gguf.GGML_QUANT_SIZES[k][0], "blockBytes": gguf.GGML_QUANT_SIZES[k][1],
                      "quantized": k in WRITTEN, "random": k in HALF_FIELDS} for k in [*WRITTEN, *[k for k in HALF_FIELDS if k not in WRITTEN]]}
    write_json(folder / "blocks.json", {"types": types})
