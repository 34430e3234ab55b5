#!/usr/bin/env python3
"""Makes the fixtures of AdapterParityTests: LoRA adapters of the checkpoints of make-family-fixtures.py, and what `peft` computes
with them.

    python3 Scripts/make-adapter-fixtures.py Tests/ModelsTests/Fixtures [convert_lora_to_gguf.py]
        (needs torch, transformers, peft, safetensors; the script of llama.cpp for the adapter in GGUF)

For each entry of ADAPTERS, in adapters/<name>:
  adapter_config.json, adapter_model.safetensors   as `save_pretrained` writes them, every parameter random
  expected.safetensors                             prompt [24] and greedy [16] (i32): the likeliest tokens after it; logits
                                                   [24, vocabulary] (f32) of the prompt
A seed is taken from 1 on until each greedy choice is clear of the second best and differs from the bare model's.
"""
import pathlib
import subprocess
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

PROMPT, GREEDY, MARGIN = 24, 16, 3e-3

# By folder: the family and the settings. The names of layers, and patterns of them, as peft has them.
ADAPTERS = {
    "llama": ("llama", dict(
        r=3, lora_alpha=7, target_modules=["q_proj", "k_proj", "down_proj", "o_proj"],
        rank_pattern={r"layers\.1\.self_attn\.q_proj": 5}, alpha_pattern={"o_proj": 2, "layers.0.mlp.down_proj": 9})),
    "llama-plain": ("llama", dict(
        r=2, lora_alpha=4, target_modules=["q_proj", "k_proj", "gate_proj"], layers_to_transform=[1])),
    "qwen2": ("qwen2", dict(r=4, lora_alpha=3, use_rslora=True, target_modules="all-linear")),
    "gpt2": ("gpt2", dict(r=3, lora_alpha=3, fan_in_fan_out=True, target_modules=["c_attn", "c_proj"])),
    "phi3": ("phi3", dict(r=2, lora_alpha=4, target_modules=["qkv_proj", "gate_up_proj"], layers_to_transform=[0])),
    "deepseek-v2": ("deepseek-v2", dict(r=2, lora_alpha=4, target_modules=["q_proj", "kv_a_proj_with_mqa"])),
}
# Of which there is one in GGUF, too.
IN_GGUF = "llama-plain"


def greedy(model, prompt):
    """The likeliest tokens, and the least margin by which one was the likeliest."""
    text, margin = prompt.tolist(), float("inf")
    for _ in range(GREEDY):
        logits = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1]
        best, second = logits.topk(2).values.tolist()
        margin = min(margin, best - second)
        text.append(int(logits.argmax()))
    return torch.tensor(text[len(prompt):], dtype=torch.int32), margin


def make(name, fixtures):
    family, settings = ADAPTERS[name]
    folder = fixtures / "adapters" / name
    for seed in range(1, 1000):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(
            fixtures / "families" / family, attn_implementation="eager").float().eval()
        vocabulary = base.get_input_embeddings().weight.shape[0]
        prompt = torch.randint(3, vocabulary - 6, (PROMPT,), dtype=torch.int32)
        with torch.no_grad():
            bare, _ = greedy(base, prompt)
            model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.copy_(torch.randn(parameter.shape) * 0.4 / max(parameter.shape) ** 0.25)
            logits = model(input_ids=prompt[None].long(), use_cache=False).logits[0]
            tokens, margin = greedy(model, prompt)
        if margin > MARGIN and tokens.tolist() != bare.tolist():
            break
    else:
        sys.exit(f"{name}: no seed gives clear choices")
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    save_file({"prompt": prompt, "greedy": tokens, "logits": logits.float().contiguous()}, folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, margin {margin:.4f}, {size // 1000} KB")


def main():
    fixtures = pathlib.Path(sys.argv[1])
    for name in ADAPTERS:
        make(name, fixtures)
    if len(sys.argv) > 2:
        folder = fixtures / "adapters" / IN_GGUF
        subprocess.run(
            [sys.executable, sys.argv[2], "--base", fixtures / "families" / ADAPTERS[IN_GGUF][0], "--outtype", "f32",
             "--outfile", fixtures / "adapters" / f"{IN_GGUF}.gguf", folder], check=True)


main()
