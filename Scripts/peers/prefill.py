#!/usr/bin/env python3
"""How fast transformers reads a prompt with a checkpoint in bf16: a JSON line (needs torch and transformers)."""
import argparse
import json
import statistics
import time

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", required=True)
parser.add_argument("--prompt", type=int, default=128)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.bfloat16).eval()
tokens = torch.randint(model.config.vocab_size, (1, arguments.prompt), generator=torch.Generator().manual_seed(1))
times = []
with torch.inference_mode():
    for _ in range(4):
        begin = time.perf_counter()
        model(tokens, use_cache=True, logits_to_keep=1)
        times.append(time.perf_counter() - begin)
rate = arguments.prompt / statistics.median(times[1:])
print(json.dumps({"name": "read", "tokens": arguments.prompt, "tokensPerSecond": rate, "peer": "transformers"}))
