#!/usr/bin/env python3
"""PyTorch's matrix products: squares, and the linear layers of GPT-2 124M over 1024 tokens. Shape is m x n x k.

forward          C[m,n]  = X[m,k] · W[n,k]^T      (a linear layer as PyTorch stores it; the squares too)
backward_input   dX[m,k] = dC[m,n] · W[n,k]
backward_weight  dW[n,k] = dC[m,n]^T · X[m,k]
"""
import torch

from measure import median_seconds, options, report, wanted

SQUARES = [(n, n, n) for n in (1024, 2048, 4096)]
LAYERS = [(1024, 2304, 768), (1024, 768, 768), (1024, 3072, 768), (1024, 768, 3072), (1024, 50257, 768)]

arguments = options(__doc__)
torch.set_num_threads(arguments.threads)
for type, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
    for m, n, k in SQUARES + LAYERS:
        shape = f"{m}x{n}x{k}"
        variants = ["forward"] if (m, n, k) in SQUARES else ["forward", "backward_input", "backward_weight"]
        variants = [v for v in variants if wanted(arguments, "matmul", type, shape, v)]
        if not variants:
            continue
        x, w, c = (torch.randn(size).to(dtype) for size in ((m, k), (n, k), (m, n)))
        bodies = {
            "forward": (lambda a, b, out: lambda: torch.mm(a, b.t(), out=out))(x, w, torch.empty_like(c)),
            "backward_input": (lambda a, b, out: lambda: torch.mm(a, b, out=out))(c, w, torch.empty_like(x)),
            "backward_weight": (lambda a, b, out: lambda: torch.mm(a.t(), b, out=out))(c, x, torch.empty_like(w)),
        }
        for variant in variants:
            seconds = median_seconds(bodies[variant], arguments.seconds)
            report("matmul", type, shape, variant, seconds, flops=2 * m * n * k)
