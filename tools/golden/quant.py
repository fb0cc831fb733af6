"""What bitsandbytes' CPU kernels make of blocks that are ordinary and blocks that are not: codes, absmax, values."""

import bitsandbytes
import gguf
import numpy as np
import torch
from bitsandbytes import functional as F
from gguf import GGMLQuantizationType as Type

from common import fresh_folder, generator, write_json, write_tensors


def cases():
    """Name -> float32 values. Lengths leave whole, short and odd last blocks of 64."""
    g = generator(500)
    normal = lambda n: torch.randn(n, generator=g)
    every = {
        "normal": normal(1024),
        "weights": normal(576 * 3) * 0.02,
        "short": normal(64 * 5 + 40) * 3,
        "odd": normal(64 * 2 + 13),
        "single": torch.tensor([-0.37]),
        "constant": torch.full((192,), 0.75),
        "negative": torch.full((130,), -2.5e-3),
        "tiny": normal(200) * 1e-30,
        "floor": normal(200) * 1e-38,       # around the floor of 1e-38 that bitsandbytes gives an absmax
        "subnormal": normal(200) * 1e-41,
        "huge": (normal(200) * 5e37).clamp(-3.4e38, 3.4e38),
        "zeros": torch.zeros(150),
    }
    every["largest"] = torch.full((70,), torch.finfo(torch.float32).max) * torch.where(normal(70) > 0, 1.0, -0.5)
    outlier = normal(256) * 0.05
    outlier[[3, 100, 255]] = torch.tensor([60.0, -700.0, 1e6])
    every["outlier"] = outlier
    # Exactly on and one float beside every midpoint between two codes, in blocks whose absmax is 1.
    for kind in ("nf4", "fp4"):
        code = F.get_4bit_type(kind, device="cpu").sort().values
        middle = (code[:-1] + code[1:]) / 2
        beside = [torch.nextafter(middle, torch.tensor(-2.0)), middle, torch.nextafter(middle, torch.tensor(2.0))]
        every[f"ties-{kind}"] = torch.cat([torch.tensor([1.0]), *beside, torch.zeros(18)])
    return every


def four_bits(tensors, name, values, kind, blocksize=64):
    key = f"{name}.{kind}" if blocksize == 64 else f"{name}.{kind}-{blocksize}"
    packed, state = F.quantize_4bit(values, blocksize=blocksize, quant_type=kind)
    tensors[f"{key}.codes"] = packed.reshape(-1)
    tensors[f"{key}.absmax"] = state.absmax
    tensors[f"{key}.values"] = F.dequantize_4bit(packed, state).reshape(-1)


def nested(tensors, name, values, kind, blocksize=64):
    packed, state = F.quantize_4bit(values, blocksize=blocksize, quant_type=kind, compress_statistics=True)
    tensors[f"{name}.{kind}.codes"] = packed.reshape(-1)
    tensors[f"{name}.{kind}.absmax"] = state.absmax
    tensors[f"{name}.{kind}.nested_absmax"] = state.state2.absmax
    tensors[f"{name}.{kind}.nested_offset"] = state.offset.reshape(1)
    tensors[f"{name}.{kind}.values"] = F.dequantize_4bit(packed, state).reshape(-1)


def int8(tensors, name, values):
    half = values.to(torch.float16)
    codes, absmax, _ = F.int8_vectorwise_quant(half)
    tensors[f"{name}.source"] = values
    tensors[f"{name}.codes"] = codes
    tensors[f"{name}.absmax"] = absmax
    tensors[f"{name}.values"] = F.int8_vectorwise_dequant(codes, absmax)


def blocks(tensors, name, values, kind):
    packed = gguf.quantize(values.numpy(), kind)
    tensors[f"{name}.{kind.name.lower()}.bytes"] = torch.from_numpy(np.ascontiguousarray(packed).reshape(-1).copy())
    tensors[f"{name}.{kind.name.lower()}.values"] = torch.from_numpy(gguf.dequantize(packed, kind).reshape(-1).copy())


def linears(folder):
    """A safetensors file as bitsandbytes' own layer saves it, and the float32 values that it reads from it."""
    g = generator(502)
    state, expected = {}, {}
    kinds = {"plain": ("nf4", False, (48, 40), torch.float32), "double": ("nf4", True, (40, 576), torch.float32),
             "float": ("fp4", False, (24, 30), torch.float16), "odd": ("nf4", True, (7, 13), torch.bfloat16),
             "doubled_float": ("fp4", True, (16, 100), torch.float32)}
    for name, (kind, double, shape, dtype) in kinds.items():
        weight = (torch.randn(shape, generator=g) * 0.05).to(dtype)
        layer = bitsandbytes.nn.Linear4bit(shape[1], shape[0], bias=name == "plain", quant_type=kind, compress_statistics=double)
        layer.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type=kind, compress_statistics=double)
        if layer.bias is not None:
            layer.bias.data = torch.randn(shape[0], generator=g)
        layer = layer.to("cpu")
        for key, value in layer.state_dict().items():
            state[f"{name}.{key}"] = value
        quantized = layer.weight.quant_state
        quantized.dtype = torch.float32  # the values before they are rounded to the dtype of the weights
        expected[name] = F.dequantize_4bit(layer.weight.data, quantized)
    write_tensors(folder / "linear4bit.safetensors", state)
    write_tensors(folder / "linear4bit.expect.safetensors", expected)

    layer = bitsandbytes.nn.Linear8bitLt(33, 9, bias=True, has_fp16_weights=False)
    weight = torch.randn(9, 33, generator=g)
    layer.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    layer.bias.data = torch.randn(9, generator=g)
    layer = layer.to("cpu")
    write_tensors(folder / "linear8bit.safetensors", {f"rows.{key}": value for key, value in layer.state_dict().items()})
    expected = {"source": weight, "rows": F.int8_vectorwise_dequant(layer.weight.data, layer.state_dict()["SCB"])}
    write_tensors(folder / "linear8bit.expect.safetensors", expected)


def main():
    folder = fresh_folder("quant")
    tensors = {"map.nf4": F.get_4bit_type("nf4", device="cpu"), "map.fp4": F.get_4bit_type("fp4", device="cpu"),
               "map.dynamic": F.create_dynamic_map()}
    names = []
    for name, values in cases().items():
        names.append(name)
        tensors[f"{name}.source"] = values
        for kind in ("nf4", "fp4"):
            four_bits(tensors, name, values, kind)
        if values.numel() % 32 == 0:
            for kind in (Type.Q4_0, Type.Q8_0):
                if values.abs().max() < 1e4 * 8:
                    blocks(tensors, name, values, kind)
    four_bits(tensors, "normal", tensors["normal.source"], "nf4", 32)
    four_bits(tensors, "weights", tensors["weights.source"], "nf4", 256)

    g = generator(501)
    # More than 256 blocks, so that the last nested block is short; one where all absmax are equal; one with outliers.
    spread = (torch.randn(300, 64, generator=g) * torch.rand(300, 1, generator=g) * 0.1)[:, :64].reshape(-1)[: 64 * 299 + 17]
    doubled = {"spread": spread.to(torch.float16).to(torch.float32), "equal": torch.full((64 * 3,), 0.5),
               "one": torch.tensor([0.25, -1.0, 0.5]), "zero": torch.zeros(640)}
    mixed = torch.randn(64 * 20, generator=g)
    mixed[64 * 7 + 5] = 500.0
    mixed[64 * 9 : 64 * 10] = 0.0
    doubled["mixed"] = mixed
    for name, values in doubled.items():
        tensors[f"double-{name}.source"] = values
        for kind in ("nf4", "fp4"):
            nested(tensors, f"double-{name}", values, kind)

    int8(tensors, "int8-normal", torch.randn(24, 50, generator=g))
    int8(tensors, "int8-weights", torch.randn(16, 64, generator=g) * 0.02)
    rows = torch.randn(6, 33, generator=g)
    rows[0] *= 1e-6
    rows[1] *= 5000
    rows[2] = 0.125
    rows[3, 5] = 900.0
    rows[4] = torch.linspace(-127, 127, 33).round() / 2  # ties: 127 times a half
    rows[4, 0] = -127
    int8(tensors, "int8-rows", rows)

    linears(folder)
    write_tensors(folder / "quant.safetensors", tensors)
    write_json(folder / "quant.json", {"bitsandbytes": bitsandbytes.__version__, "cases": names,
                                       "doubleQuant": [f"double-{name}" for name in doubled],
                                       "int8": ["int8-normal", "int8-weights", "int8-rows"]})
