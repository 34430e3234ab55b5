#!/usr/bin/env python3
"""Writes Tests/QuantizationTests/Fixtures/mixtures.json: which types llama-quantize gives the tensors of a model.

    python3 Scripts/make-mixture-fixtures.py LLAMA-QUANTIZE MODEL.gguf

MODEL.gguf holds floats; the file that is checked in is of a Llama 768 wide and 2048 inside with 12 layers, 12 heads, 4 key
heads and a head of its own. For each mixture: the type of most matrices under "", and that of each other tensor by its name.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

MIXTURES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M",
            "Q6_K", "IQ4_NL"]
LINE = re.compile(r"\] +(\S+) +- \[.*\((\w+)\)$")

result = {}
for mixture in MIXTURES:
    run = subprocess.run([sys.argv[1], "--dry-run", sys.argv[2], mixture], capture_output=True, text=True, check=True)
    types = {match[1]: match[2].upper() for line in (run.stdout + run.stderr).splitlines() if (match := LINE.search(line))}
    usual = collections.Counter(types.values()).most_common(1)[0][0]
    result[mixture] = {"": usual} | {name: type for name, type in types.items() if type != usual}
path = pathlib.Path(__file__).parent.parent / "Tests/QuantizationTests/Fixtures/mixtures.json"
path.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(types)}' for name, types in result.items()) + "\n}\n")
