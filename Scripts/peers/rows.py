#!/usr/bin/env python3
"""PyTorch's kernels over rows: RMS norm, layer norm, softmax, GELU (tanh), forward and backward; rows x width.

Counted are the bytes that must move: x in, y out; backward x (or y) and dy in, dx out. Norms have weights (layer norm a
bias too), whose gradients belong to the backward. 1024 x 768 stays in the caches, 16384 x 768 comes from memory. Mode
"compile" is the same function through torch.compile, which fuses what eager mode leaves apart.
"""
import torch
import torch.nn.functional as F

from measure import median_seconds, options, report, wanted

arguments = options(__doc__, modes={"default": "eager", "help": "eager,compile"})
torch.set_num_threads(arguments.threads)


def cases(width, dtype):
    weight, bias = torch.randn(width).to(dtype).requires_grad_(), torch.randn(width).to(dtype).requires_grad_()
    return {
        "rms_norm": (lambda x: F.rms_norm(x, (width,), weight, 1e-5), [weight]),
        "layer_norm": (lambda x: F.layer_norm(x, (width,), weight, bias, 1e-5), [weight, bias]),
        "softmax": (lambda x: F.softmax(x, dim=-1), []),
        "gelu": (lambda x: F.gelu(x, approximate="tanh"), []),
    }


for mode in arguments.modes.split(","):
    for type, dtype, size in (("f32", torch.float32, 4), ("bf16", torch.bfloat16, 2)):
        for rows, width in ((1024, 768), (16384, 768)):
            for name, (function, weights) in cases(width, dtype).items():
                shape, count = f"{rows}x{width}", rows * width
                if mode == "compile":
                    torch._dynamo.reset()
                    function = torch.compile(function)
                x = torch.randn(rows, width).to(dtype).requires_grad_()
                d = torch.randn(rows, width).to(dtype)
                if wanted(arguments, name, type, shape, "forward"):
                    with torch.no_grad():
                        seconds = median_seconds(lambda: function(x), arguments.seconds)
                    report(name, type, shape, "forward", seconds, bytes=2 * count * size, mode=mode)
                if wanted(arguments, name, type, shape, "backward"):
                    y = function(x)
                    leaves = [x] + weights
                    seconds = median_seconds(
                        lambda: torch.autograd.grad(y, leaves, d, retain_graph=True), arguments.seconds)
                    report(name, type, shape, "backward", seconds, bytes=3 * count * size, mode=mode)
