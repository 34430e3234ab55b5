#!/usr/bin/env python3
"""PyTorch's fused AdamW over the tensors of GPT-2 124M, all f32.

Counted are 28 bytes a parameter: p, m, v in and out, g in.
"""
import torch

from measure import median_seconds, options, report, wanted

WIDTH, LAYERS, VOCABULARY, POSITIONS = 768, 12, 50257, 1024
SHAPES = [(VOCABULARY, WIDTH), (POSITIONS, WIDTH), (WIDTH,), (WIDTH,)] + LAYERS * [
    (WIDTH,), (WIDTH,), (3 * WIDTH, WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,),
    (WIDTH,), (WIDTH,), (4 * WIDTH, WIDTH), (4 * WIDTH,), (WIDTH, 4 * WIDTH), (WIDTH,),
]

arguments = options(__doc__)
torch.set_num_threads(arguments.threads)
count = sum(torch.Size(shape).numel() for shape in SHAPES)
if wanted(arguments, "adamw", "f32", str(count), "step"):
    parameters = [torch.nn.Parameter(0.02 * torch.randn(shape)) for shape in SHAPES]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    seconds = median_seconds(optimizer.step, max(3 * arguments.seconds, 3))
    report("adamw", "f32", str(count), "step", seconds, bytes=28 * count, mode="fused")
