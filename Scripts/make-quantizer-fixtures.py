#!/usr/bin/env python3
"""Writes Tests/QuantizationTests/Fixtures/blocks.json: random numbers, and the blocks that gguf's own quants.py rounds them
to, as hexadecimal bytes. Needs numpy and gguf (0.19.0 wrote the file that is checked in).
"""
import json
import pathlib

import gguf
import numpy as np
from gguf.quants import quantize

random = np.random.default_rng(20261122)
values = (random.normal(0, 1, 512) * random.choice([0.01, 1, 30], 512)).astype("<f4")
values[32:64] = 0
values[64:96] = abs(values[64:96])
result = {"values": values.tobytes().hex()}
for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]:
    result[name] = quantize(values.reshape(1, -1), gguf.GGMLQuantizationType[name]).tobytes().hex()
path = pathlib.Path(__file__).parent.parent / "Tests/QuantizationTests/Fixtures/blocks.json"
path.write_text("{\n" + ",\n".join(f'"{key}": "{value}"' for key, value in result.items()) + "\n}\n")
