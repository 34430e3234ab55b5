#!/usr/bin/env python3
"""Training speed of llm.c's CPU program, GPT-2 124M in f32.

    llmc.py --directory DIR [--steps 4]

DIR is a checkout of llm.c with train_gpt2 built by its Makefile (OpenMP), its batch in train_gpt2.c set to B = 1, T =
1024, and its checkpoint and token files in place.
"""
import os
import re
import statistics
import subprocess

from measure import options, report

arguments = options(__doc__, directory={"required": True}, steps={"type": int, "default": 4})
environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))
times = []
with subprocess.Popen(
    ["stdbuf", "-oL", "./train_gpt2"], cwd=arguments.directory, env=environment, stdout=subprocess.PIPE, text=True
) as process:
    for line in process.stdout:
        if match := re.match(r"step \d+: .*took ([0-9.]+) ms", line):
            times.append(float(match[1]) / 1000)
        if len(times) > arguments.steps:
            process.kill()
            break
seconds = statistics.median(times[1:])
report("train", "f32", "gpt2", "step", seconds, peer="llm.c", mode="OpenMP", tokensPerSecond=1024 / seconds)
