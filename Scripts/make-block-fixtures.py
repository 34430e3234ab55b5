#!/usr/bin/env python3
"""Writes Tests/TensorsTests/Fixtures/blocks.json: random blocks of every GGUF format that we read, and the numbers that
gguf's own quants.py makes of them, as hexadecimal bytes (numbers are little-endian f32).

Needs numpy and gguf (0.19.0 wrote the file that is checked in).
"""
import json
import pathlib

import gguf
import numpy as np
from gguf.quants import dequantize

# Where the f16 scales of a block lie.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}

random = np.random.default_rng(20261122)
fixtures = {}
for name, places in SCALES.items():
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = 512 // elements
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for place in places:
        scales = random.normal(0, 0.05, count).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        blocks[:, 0] = random.integers(100, 140, count)
        blocks[:2, 0] = [0, 1]  # the subnormal scales
    values = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
    fixtures[name] = {"blocks": blocks.tobytes().hex(), "values": values.tobytes().hex()}

path = pathlib.Path(__file__).parent.parent / "Tests/TensorsTests/Fixtures/blocks.json"
path.parent.mkdir(exist_ok=True)
path.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in fixtures.items()) + "\n}\n")
