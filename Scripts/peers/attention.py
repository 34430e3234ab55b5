#!/usr/bin/env python3
"""PyTorch's causal attention (scaled_dot_product_attention). Shape is batch x heads x T x head size.

Counted are the products of the lower triangle: 2 B H T^2 D forward, 3.5 times that forward and backward.
"""
import torch
import torch.nn.functional as F

from measure import median_seconds, options, report, wanted

arguments = options(__doc__)
torch.set_num_threads(arguments.threads)
for type, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
    for length in (1024, 4096):
        for heads, size in ((12, 64), (6, 128)):
            shape = f"1x{heads}x{length}x{size}"
            flops = 2 * heads * length * length * size
            # As a model has them: [batch, T, heads, size] in memory, seen as [batch, heads, T, size].
            q, k, v, d = (torch.randn(1, length, heads, size).to(dtype).transpose(1, 2) for _ in range(4))
            if wanted(arguments, "attention", type, shape, "forward"):
                with torch.no_grad():
                    seconds = median_seconds(
                        lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True), arguments.seconds)
                report("attention", type, shape, "forward", seconds, flops=flops)
            if wanted(arguments, "attention", type, shape, "forward+backward"):
                leaves = [t.detach().requires_grad_() for t in (q, k, v)]
                seconds = median_seconds(
                    lambda: torch.autograd.grad(F.scaled_dot_product_attention(*leaves, is_causal=True), leaves, d),
                    arguments.seconds)
                report("attention", type, shape, "forward+backward", seconds, flops=3.5 * flops)
