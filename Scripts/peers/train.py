#!/usr/bin/env python3
"""Training speed of PyTorch: a GPT-2 type model, scaled_dot_product_attention, fused AdamW, clipping; random tokens.

    train.py --model character|gpt2|small --type f32|bf16 --mode eager|compile [--parameters pure]

One process per case, so that the time from its start to the end of the first step, and its peak memory, are the case's
own.
bf16 is autocast over f32 parameters, as most people train; with --parameters pure the parameters themselves (and so the
optimizer's moments) are bf16, which is faster and less exact.
"""
import contextlib
import os
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from measure import ForeignLoad, options, report

# layers, width, heads, vocabulary, positions, batch
MODELS = {
    "character": (6, 384, 6, 65, 256, 8),
    "gpt2": (12, 768, 12, 50257, 1024, 1),
    "gpt2-batch4": (12, 768, 12, 50257, 1024, 4),
    "small": (4, 128, 4, 65, 64, 12),
}


def seconds_since_process_start():
    with open("/proc/self/stat") as file:
        started = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


class Block(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.qkv, self.projection = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
        self.up, self.down = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(width, dim=2)
        q, k, v = (t.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, width, heads, vocabulary, positions, bias):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads, bias) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=bias)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.tokens.weight = self.head.weight
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


arguments = options(
    __doc__, model={"choices": list(MODELS), "default": "character"},
    type={"choices": ["f32", "bf16"], "default": "f32"},
    mode={"choices": ["eager", "compile"], "default": "eager"},
    parameters={"choices": ["masters", "pure"], "default": "masters"}, steps={"type": int, "default": 0},
)
torch.set_num_threads(arguments.threads)
torch.manual_seed(0)
layers, width, heads, vocabulary, positions, batch = MODELS[arguments.model]
model = GPT(layers, width, heads, vocabulary, positions, bias=arguments.model == "gpt2")
pure = arguments.parameters == "pure"
if pure:
    model.to(torch.bfloat16)
optimizer = torch.optim.AdamW(
    [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ],
    lr=1e-3, betas=(0.9, 0.95), fused=True,
)
forward = torch.compile(model) if arguments.mode == "compile" else model
autocast = arguments.type == "bf16" and not pure


def step():
    tokens = torch.randint(vocabulary, (batch, positions + 1))
    with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
        loss = forward(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


loss = step()
first = seconds_since_process_start()
step()
times, begin, watch = [], time.perf_counter(), ForeignLoad()
budget = max(arguments.seconds, 10)
while len(times) < (arguments.steps or 3) or (not arguments.steps and time.perf_counter() - begin < budget):
    start = time.perf_counter()
    loss = step()
    times.append(time.perf_counter() - start)
seconds, foreign = statistics.median(times), watch.cores()
shape = f"{layers}x{width}x{positions}x{batch}"
mode = arguments.mode + ("" if arguments.type == "f32" else " pure" if pure else " autocast")
report(
    "train", arguments.type, arguments.model, "step", seconds, mode=mode, tokensPerSecond=batch * positions / seconds,
    firstStepSeconds=first, peakBytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, loss=loss,
    config=shape, foreign=foreign, parameters=sum(p.numel() for p in model.parameters()),
)
