#!/usr/bin/env python3
"""Writes Tests/TensorsTests/Fixtures/repacking.json: small quantised matrices as checkpoints hold them, and the numbers that
they stand for: by the packages that made the format popular where they can be had, else by its public formula in torch.

Needs torch, transformers, bitsandbytes, compressed-tensors (2.13, 5.14, 0.50.2 and 0.20.0 wrote the file that is checked in).
Bytes are hexadecimal, numbers little-endian.
"""
import json
import pathlib

import bitsandbytes.functional as bnb
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

random = torch.Generator().manual_seed(20261122)
fixtures = {}


def integers(low, high, *shape, dtype=torch.int32):
    return torch.randint(low, high, shape, generator=random, dtype=dtype)


def scales(*shape, dtype=torch.float16):
    return (torch.rand(*shape, generator=random) * 0.05 + 0.01).to(dtype)


def data(tensor):
    return torch.cat([tensor.reshape(-1)]).view(torch.uint8).numpy().tobytes().hex()


def pack(values, bits):
    """Along the first axis, least bits first."""
    each = 32 // bits
    parts = values.reshape(values.shape[0] // each, each, *values.shape[1:]).to(torch.int64)
    word = sum(parts[:, i] << (bits * i) for i in range(each))
    return (word & 0xFFFFFFFF).to(torch.uint32).view(torch.int32)


def add(name, rows, columns, values, **tensors):
    assert values.shape == (rows, columns)
    fixtures[name] = {"rows": rows, "columns": columns, "values": data(values.float())} | {
        key: data(value) if isinstance(value, torch.Tensor) else value for key, value in tensors.items()
    }


# GPTQ: weights [in, out], zero points stored less one.
for name, bits, n, k, group, shuffled in [
    ("gptq4", 4, 8, 128, 64, False), ("gptq8", 8, 24, 64, 32, False), ("gptq4 g_idx", 4, 8, 128, 32, True)
]:
    q, z = integers(0, 2**bits, k, n), integers(0, 2**bits, k // group, n)
    s = scales(k // group, n)
    index = torch.arange(k, dtype=torch.int32) // group
    if shuffled:
        index = index[torch.randperm(k, generator=random)]
    values = (q - (z[index.long()] + 1)) * s[index.long()].float()
    add(
        name, n, k, values.T, bits=bits, group=group, qweight=pack(q, bits), qzeros=pack(z.T, bits).T, scales=s,
        g_idx=index)

n, k = 8, 128
# AWQ gemm: packed along the outputs, as awq/utils/packing_utils.py undoes it.
q, z, s = integers(0, 16, k, n), integers(0, 16, k // 64, n), scales(k // 64, n)
order = [0, 2, 4, 6, 1, 3, 5, 7]


def pack_awq(values):
    return pack(values.reshape(-1, n // 8, 8)[:, :, order].reshape(-1, n).T, 4).T


add("awq", n, k, ((q - z.repeat_interleave(64, 0)) * s.repeat_interleave(64, 0).float()).T, group=64,
    qweight=pack_awq(q), qzeros=pack_awq(z), scales=s)

# compressed-tensors.
for name, bits, group, symmetric in [("packed4", 4, 32, True), ("packed4 zeros", 4, 64, False), ("packed8", 8, 128, True)]:
    half = 2 ** (bits - 1)
    q = integers(-half, half, n, k, dtype=torch.int8)
    s = scales(n, k // group, dtype=torch.bfloat16)
    z = torch.zeros(n, k // group, dtype=torch.int8)
    extra = {}
    if not symmetric:
        z = integers(-half, half, n, k // group, dtype=torch.int8)
        extra["zeros"] = pack_to_int32(z, bits, packed_dim=0)
    values = (q.float() - z.float().repeat_interleave(group, 1)) * s.float().repeat_interleave(group, 1)
    add(name, n, k, values, bits=bits, group=group, packed=pack_to_int32(q, bits), scales=s, **extra)
q, z, s = integers(-128, 128, n, k, dtype=torch.int8), integers(-99, 99, n, 1, dtype=torch.int8), scales(n, 1)
add("int8", n, k, (q.float() - z.float()) * s.float(), group=k, weight=q, scales=s, zeros=z)

# bitsandbytes, with absmax quantised again.
n, k = 4, 256
weights = torch.randn(n, k, generator=random) * 0.05
packed, state = bnb.quantize_4bit(weights, blocksize=64, quant_type="nf4", compress_statistics=True)
plain, flat = bnb.quantize_4bit(weights, blocksize=128, quant_type="nf4", compress_statistics=False)
add("nf4 nested", n, k, bnb.dequantize_4bit(packed, state), weight=packed, codes=state.absmax, map=state.state2.code,
    scales=state.state2.absmax, blockSize=state.state2.blocksize, offset=state.offset.float().reshape(1))
add("nf4", n, k, bnb.dequantize_4bit(plain, flat), weight=plain, absmax=flat.absmax, blockSize=128)

# gpt-oss.
n, k = 6, 96
blocks = integers(0, 256, 1, n, k // 32, 16, dtype=torch.uint8)
exponents = integers(110, 130, 1, n, k // 32, dtype=torch.uint8)
values = convert_moe_packed_tensors(blocks, exponents, dtype=torch.float32)[0]
add("mxfp4", n, k, values.T if values.shape == (k, n) else values, blocks=blocks, scales=exponents)

# FP8 in blocks as DeepSeek has them (here 4 x 64), and with a scale a row.
n, k = 10, 128
weights = (torch.randn(n, k, generator=random) * 20).to(torch.float8_e4m3fn)
s = torch.rand(3, 2, generator=random) + 0.1
wide = s.repeat_interleave(4, 0)[:n].repeat_interleave(64, 1)
add("fp8 blocks", n, k, weights.float() * wide, weight=weights, scales=s)
s = scales(n, 1, dtype=torch.bfloat16)
add("fp8 rows", n, k, weights.float() * s.float(), weight=weights, scales=s)

path = pathlib.Path(__file__).parent.parent / "Tests/TensorsTests/Fixtures/repacking.json"
path.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in fixtures.items()) + "\n}\n")
