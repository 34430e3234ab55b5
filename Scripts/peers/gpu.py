#!/usr/bin/env python3
"""The cases of `tachornis bench --device gpu` in PyTorch, measured on request: Benchmarks/gpu alternates both.

    gpu.py                 answers requests on a CUDA device
    gpu.py --device cpu    the same on the processor, to rehearse

A request is a JSON object on a line of standard input and gets one on a line of standard output, as
Sources/tachornis-cli/Bench/GPURequests.swift describes it; the cases come with the requests:

    {"do": "prepare", "case": {"name": "matmul", "type": "bf16", "shape": [m, n, k], "variant": "plain", ...}}
                                                 {"modes": ["cublas"], "failed": {"mode": "why"}}
    {"do": "measure", "mode": "cublas", "seconds": 0.2}    {"seconds": ..., "samples": [...], "runs": ..., "way": "graph"}
    {"do": "release"}                            {}

Each case is run in each way that is installed: attention by cuDNN, FlashAttention and the memory-efficient kernel of
PyTorch, flash_attn and flashinfer where they are; norms, losses and training steps eagerly and by torch.compile (that is
Triton); int4 weights by PyTorch's own kernel. Who asks lets the fastest stand for the peer. As on our side there are
several sets of operands, at least twice as large as the second-level cache together, and calls are captured in a CUDA
graph where they can be, so that starting them costs nothing.
"""
import argparse
import contextlib
import functools
import gc
import importlib
import importlib.metadata
import json
import math
import os
import statistics
import sys
import time

# What torch.compile and its helpers print is not an answer.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
parser.add_argument("--autotune", action="store_true", help="products by Triton too, tuned for each shape: slow to prepare")
DEVICE = None
AUTOTUNE = False
TYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
GROUP = 128


def uniform(*shape, type=torch.bfloat16):
    return torch.empty(*shape, dtype=type, device=DEVICE).uniform_(-1, 1)


def optional(name):
    """A package that need not be there."""
    try:
        return importlib.import_module(name)
    except Exception:  # a package that is there but broken is not there
        return None


def lazily(make):
    """A call that makes itself when it is first run, so that what cannot be made fails alone."""
    state = []

    def call():
        if not state:
            state.append(make())
        return state[0]()

    return call


def uncaptured(call):
    """A call that no graph can hold."""
    call.captures = False
    return call


COMPILED = {}


def compiled(function):
    """One compiled function for all operands of the same code, which refers to nothing around it."""
    return COMPILED.setdefault(function.__code__, torch.compile(function, dynamic=False))


def eager_and_compiled(function, *operands):
    return {"eager": functools.partial(function, *operands),
            "compile": functools.partial(compiled(function), *operands)}


# Each function below makes one set of a case's operands and gives the ways of running it: name to a call without
# arguments, whose result is kept until the next set.

def memory(shape, type, variant):
    x = uniform(*shape, type=type)
    if variant == "copy":
        y = torch.empty_like(x)
        return {"copy_": lambda: y.copy_(x), "neg": lambda: torch.neg(x, out=y)}
    return eager_and_compiled(lambda x: x.sum(dim=1, dtype=torch.float32), x)


def matmul(shape, type, variant):
    m, n, k = shape
    a, b = uniform(m, k, type=type), uniform(n, k, type=type)
    if variant == "bias+gelu":
        bias = uniform(n, type=type)

        def eager(a, b, bias):
            return F.gelu(F.linear(a, b, bias), approximate="tanh")

        return eager_and_compiled(eager, a, b, bias) | {
            "cublasLt": lambda: torch._addmm_activation(bias, a, b.t(), use_gelu=True)}
    if variant == "residual":
        c = uniform(m, n, type=type)
        return {"addmm": lambda: torch.addmm(c, a, b.t())}
    ways = {"cublas": lambda: a @ b.t()}
    if AUTOTUNE:
        options = {"max_autotune": True, "max_autotune_gemm_backends": "TRITON"}
        ways["triton"] = functools.partial(torch.compile(lambda a, b: a @ b.t(), options=options), a, b)
    return ways


def sdpa_backends():
    from torch.nn.attention import SDPBackend

    return {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION} if DEVICE == "cuda" else {"math": SDPBackend.MATH}


def sdpa(backend, q, k, v, causal=False):
    """Of and to [batch, positions, heads, size], as a model has it in memory, and we have it."""
    from torch.nn.attention import sdpa_kernel

    with sdpa_kernel(backend):
        seen = (t.transpose(1, 2) for t in (q, k, v))
        return F.scaled_dot_product_attention(*seen, is_causal=causal).transpose(1, 2)


def attention(shape, type, variant):
    causal, backward = variant.startswith("causal"), variant.endswith("backward")
    q, k, v, d = (uniform(*shape, type=type) for _ in range(4))
    forwards = {name: functools.partial(sdpa, backend, q, k, v, causal) for name, backend in sdpa_backends().items()}
    for package, name in (("flash_attn_interface", "flash-attn 3"), ("flash_attn", "flash-attn 2")):
        module = optional(package)
        if module:
            def forward(attend=module.flash_attn_func):
                result = attend(q, k, v, causal=causal)
                return result[0] if isinstance(result, tuple) else result

            forwards[name] = forward
    if not backward:
        return forwards
    for t in (q, k, v):
        t.requires_grad_()

    def gradient(forward):
        # The forward pass is no part of what is measured.
        o = forward()
        return lambda: torch.autograd.grad(o, (q, k, v), d, retain_graph=True)

    return {name: uncaptured(lazily(functools.partial(gradient, forward))) for name, forward in forwards.items()}


def decode(shape, type, variant):
    sequences, keys = shape
    heads, groups, size = 32, 8, 128
    q = uniform(sequences, 1, heads, size, type=type)
    k, v = (uniform(sequences, keys, groups, size, type=type) for _ in range(2))
    # The query heads that share a key head as that many queries of one head: every kernel can do it, and reads keys once.
    packed = q.view(sequences, groups, heads // groups, size).transpose(1, 2)
    ways = {name: functools.partial(sdpa, backend, packed, k, v) for name, backend in sdpa_backends().items()}
    flash = optional("flash_attn_interface") or optional("flash_attn")
    if flash and hasattr(flash, "flash_attn_with_kvcache"):
        ways["flash_attn_with_kvcache"] = lambda: flash.flash_attn_with_kvcache(q, k, v)
    flashinfer = optional("flashinfer")
    if flashinfer and keys % 64 == 0:
        def paged():
            pages = keys // 64
            wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
                torch.empty(128 << 20, dtype=torch.uint8, device=DEVICE), "NHD", use_tensor_cores=True)
            starts = torch.arange(sequences + 1, dtype=torch.int32, device=DEVICE) * pages
            order = torch.randperm(sequences * pages, device=DEVICE).to(torch.int32)
            full = torch.full((sequences,), 64, dtype=torch.int32, device=DEVICE)
            wrapper.plan(starts, order, full, heads, groups, size, 64, q_data_type=type, kv_data_type=type)
            cache = tuple(t.view(sequences * pages, 64, groups, size) for t in (k, v))
            return lambda: wrapper.run(q.view(sequences, heads, size), cache)

        ways["flashinfer"] = lazily(paged)
    return ways


def int4_weights(rows, columns):
    """Random weights for PyTorch's int4 kernel."""
    codes = torch.randint(256, (rows, columns // 2), dtype=torch.uint8, device=DEVICE)
    scales = torch.empty(columns // GROUP, rows, 2, dtype=torch.bfloat16, device=DEVICE)
    scales[..., 0], scales[..., 1] = 0.015625, 0
    if DEVICE == "cpu":
        wide = torch.randint(16, (rows, columns), dtype=torch.int32)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(wide, 8)
        return lambda x: torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, GROUP, scales)
    packed = torch.ops.aten._convert_weight_to_int4pack(codes, 8)
    return lambda x: torch.ops.aten._weight_int4pack_mm(x, packed, GROUP, scales)


def int4(shape, type, variant):
    m, n, k = shape
    x = uniform(m, k, type=type)
    return {"int4pack": lazily(lambda: functools.partial(int4_weights(n, k), x)),
            "bf16 weights": lazily(lambda: functools.partial(F.linear, x, uniform(n, k, type=type)))}


def int4_layer(shape, type, variant):
    width, inner = shape
    x = uniform(1, width, type=type)

    def layer(linears, norms):
        attended = linears[0](F.rms_norm(x, (width,), norms[0]))[:, :width]
        y = x + linears[1](attended.contiguous())
        gate, up = linears[2](F.rms_norm(y, (width,), norms[1])).split(inner, dim=1)
        return y + linears[3](F.silu(gate) * up)

    def make(weights):
        shapes = [(width + width // 4, width), (width, width), (2 * inner, width), (width, inner)]
        return functools.partial(
            layer, [weights(*shape) for shape in shapes], [uniform(width, type=type) for _ in range(2)])

    def plain(rows, columns):
        weight = uniform(rows, columns, type=type)
        return lambda x: F.linear(x, weight)

    return {"int4pack": lazily(lambda: make(int4_weights)), "bf16 weights": lazily(lambda: make(plain))}


def rms_norm(shape, type, variant):
    x, weight = uniform(*shape, type=type), uniform(shape[1], type=type)
    return eager_and_compiled(lambda x, weight: F.rms_norm(x, x.shape[1:], weight, eps=1e-6), x, weight)


def layer_norm(shape, type, variant):
    x, weight, bias = uniform(*shape, type=type), uniform(shape[1], type=type), uniform(shape[1], type=type)
    return eager_and_compiled(lambda x, weight, bias: F.layer_norm(x, x.shape[1:], weight, bias), x, weight, bias)


def softmax(shape, type, variant):
    return eager_and_compiled(lambda x: torch.softmax(x, dim=-1), uniform(*shape, type=type))


def linear_cross_entropy(shape, type, variant):
    rows, width, vocabulary = shape
    x = uniform(rows, width, type=type).requires_grad_()
    weight = (uniform(vocabulary, width, type=torch.float32) * 0.02).to(type).requires_grad_()
    targets = torch.arange(rows, device=DEVICE) * 7919 % vocabulary

    def loss(x, weight, targets):
        return F.cross_entropy(F.linear(x, weight).float(), targets, reduction="sum")

    def run(function):
        return torch.autograd.grad(function(x, weight, targets), (x, weight))

    ways = {"eager": lambda: run(loss), "compile": lambda: run(compiled(loss))}
    liger = optional("liger_kernel.transformers.functional")
    if liger:
        ways["liger"] = lambda: run(lambda x, w, t: liger.liger_fused_linear_cross_entropy(x, w, t, reduction="sum"))
    return {name: uncaptured(way) for name, way in ways.items()}


def adamw(shape, type, variant):
    parameters = [nn.Parameter(uniform(*shape[1:], type=type)) for _ in range(shape[0])]
    for parameter in parameters:
        parameter.grad = uniform(*shape[1:], type=type)
    capturable = {"capturable": True} if DEVICE == "cuda" else {}
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True, **capturable)
    return {"fused": optimizer.step}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(width, dim=2)
        q, k, v = (t.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, width, heads, vocabulary, positions):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.tokens.weight = self.head.weight
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions.weight[:tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))


def train(shape, type, variant):
    """Compiled, bf16 by autocast over f32 parameters, attention by FlashAttention or cuDNN, fused AdamW, clipping.

    Large models are compiled a block at a time, which is one compilation for all blocks instead of minutes.
    """
    layers, width, heads, vocabulary, batch, length = shape

    def make():
        with torch.device(DEVICE):
            model = GPT(layers, width, heads, vocabulary, length)
        if layers > 12:
            for block in model.blocks:
                block.compile(dynamic=False)
            forward = model
        else:
            forward = torch.compile(model, dynamic=False)
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
                {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
            ],
            lr=1e-3, betas=(0.9, 0.95), fused=True)
        text = torch.randint(vocabulary, (batch, length + 1), device=DEVICE)
        tokens, targets = text[:, :-1].contiguous(), text[:, 1:].contiguous()

        def step():
            with torch.autocast(DEVICE, torch.bfloat16):
                loss = forward(tokens, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss.item()

        return step

    return {"compile": uncaptured(lazily(make))}


KINDS = {"memory": memory, "matmul": matmul, "attention": attention, "decode": decode, "int4": int4,
         "int4-layer": int4_layer, "rms_norm": rms_norm, "layer_norm": layer_norm, "softmax": softmax,
         "linear_cross_entropy": linear_cross_entropy, "adamw": adamw, "train": train}


class Way:
    """A way of running a case, over all its sets of operands."""

    def __init__(self, calls):
        self.calls = calls
        # Compiles, loads, and finds out whether it works at all.
        for call in calls:
            call()
        synchronise()
        self.graph = self.capture() if DEVICE == "cuda" and getattr(calls[0], "captures", True) else None

    def capture(self):
        """The calls as one graph; none where one of them waits for the device."""
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                # Each keeps its result, or they would all write to one place.
                self.results = [call() for call in self.calls]
            graph.replay()
            synchronise()
            return graph
        except Exception:
            synchronise()
            return None

    def start(self):
        if self.graph:
            self.graph.replay()
        else:
            for call in self.calls:
                call()

    def measure(self, seconds):
        """As GPUTimer.swift: samples of several calls each."""
        first = max(self.sample(1), 1e-6)
        calls = max(1, int(seconds / 8 / first))
        count = max(1, min(8, int(seconds / (first * calls))))
        samples = [self.sample(calls) / (calls * len(self.calls)) for _ in range(count)]
        return {"seconds": statistics.median(samples), "samples": samples, "runs": count * calls * len(self.calls),
                "way": "graph" if self.graph else "calls"}

    def sample(self, calls):
        if DEVICE == "cpu":
            begin = time.perf_counter()
            for _ in range(calls):
                self.start()
            return time.perf_counter() - begin
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(calls):
            self.start()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


def first_line(error):
    return f"{error.__class__.__name__}: {error}".strip().splitlines()[0][:300]


def synchronise():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


class Peer:
    def __init__(self):
        self.ways = {}

    def answer(self, request):
        match request.get("do"):
            case "prepare":
                return self.prepare(request["case"])
            case "measure":
                return self.ways[request["mode"]].measure(request["seconds"])
            case "release":
                self.ways = {}
                self.clean()
                return {}
        raise ValueError("\"do\" must be prepare, measure or release")

    def prepare(self, case):
        self.ways = {}
        self.clean()
        failed = {}
        kind, type = KINDS[case["name"]], TYPES[case["type"]]
        # Sets of operands, with the ways of running each.
        sets = [kind(case["shape"], type, case["variant"]) for _ in range(set_count(case))]
        for mode in sets[0]:
            try:
                self.ways[mode] = Way([ways[mode] for ways in sets])
            except Exception as error:
                failed[mode] = first_line(error)
                synchronise()
        return {"modes": list(self.ways), "failed": failed}

    @staticmethod
    def clean():
        gc.collect()
        if DEVICE == "cuda":
            torch.cuda.empty_cache()


def set_count(case):
    """As GPUWork.swift: several sets of operands, which no cache holds."""
    if DEVICE == "cpu" or case["name"] == "train":
        return 1
    cache = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return min(64, max(1, math.ceil(max(2 * cache, 512 << 20) / max(case["bytes"], 1))))


def facts():
    packages = {}
    for package in ("triton", "flash_attn", "flash_attn_3", "flashinfer-python", "liger_kernel", "torchao"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[package] = importlib.metadata.version(package)
    result = {"torch": torch.__version__, "packages": packages}
    if DEVICE == "cuda":
        result |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda,
                   "cudnn": torch.backends.cudnn.version()}
    return result


def main():
    global DEVICE, AUTOTUNE
    arguments = parser.parse_args()
    DEVICE, AUTOTUNE = arguments.device.split(":")[0], arguments.autotune
    if DEVICE == "cuda" and not torch.cuda.is_available():
        print(json.dumps({"error": f"PyTorch {torch.__version__} sees no CUDA device"}), file=ANSWERS, flush=True)
        sys.exit(2)
    if ":" in arguments.device:
        torch.cuda.set_device(arguments.device)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    print(json.dumps(facts()), file=ANSWERS, flush=True)
    peer = Peer()
    for line in sys.stdin:
        try:
            answer = peer.answer(json.loads(line))
        except Exception as error:
            peer.ways = {}
            peer.clean()
            answer = {"error": first_line(error)}
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
