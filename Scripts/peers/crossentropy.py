#!/usr/bin/env python3
"""PyTorch's linear layer and cross-entropy, forward and backward: rows x width x vocabulary, as a GPT's last layer.

In bf16 the weights and activations are bf16 and the loss is computed from the logits in f32 (as autocast does:
"upcast") or from the bf16 logits as they are ("plain").
"""
import torch
import torch.nn.functional as F

from measure import median_seconds, options, report, wanted

arguments = options(__doc__)
torch.set_num_threads(arguments.threads)
rows, width, vocabulary = 1024, 768, 50257
shape = f"{rows}x{width}x{vocabulary}"
for type, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
    if not wanted(arguments, "crossentropy", type, shape, "forward+backward"):
        continue
    x = torch.randn(rows, width).to(dtype).requires_grad_()
    w = (0.02 * torch.randn(vocabulary, width)).to(dtype).requires_grad_()
    targets = torch.randint(vocabulary, (rows,))

    def plain():
        return torch.autograd.grad(F.cross_entropy(F.linear(x, w), targets), (x, w))

    def upcast():
        return torch.autograd.grad(F.cross_entropy(F.linear(x, w).float(), targets), (x, w))

    for mode, body in (("plain", plain), ("upcast", upcast))[: 1 if type == "f32" else 2]:
        seconds = median_seconds(body, arguments.seconds)
        report("crossentropy", type, shape, "forward+backward", seconds, flops=6 * rows * width * vocabulary, mode=mode)
