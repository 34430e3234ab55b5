#!/usr/bin/env python3
"""Makes the fixtures of FamilyParityTests: small random checkpoints of each family and what `transformers` computes of them.

    python3 Scripts/make-family-fixtures.py Tests/ModelsTests/Fixtures/families [name ...]
        (needs torch, transformers, safetensors)

For each entry of FAMILIES (or those that are named):
  config.json, model.safetensors   as `save_pretrained` writes them, f32, every parameter random
  expected.safetensors             prompt [44] and greedy [64] (i32): the likeliest tokens after it, each by a pass over the
                                   whole text; logits [44, vocabulary] (f32) of the prompt
and of `rotary` (rotary.json beside the folder) each rotary scaling: a config.json, positions, and the cosines and sines of
the pairs at them.

To add a family: one entry. A seed is taken from 1 on until each greedy choice is clear of the second best.
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

PROMPT, GREEDY, MARGIN = 44, 64, 3e-3

# What most have: no width divides evenly, windows are shorter than the prompt.
DECODER = dict(
    vocab_size=96, hidden_size=32, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=12, max_position_embeddings=128, rms_norm_eps=1e-5, pad_token_id=None,
    bos_token_id=1, eos_token_id=2)


def rope(kind, **settings):
    return {"rope_type": kind, "rope_theta": settings.pop("base", 5000.0), **settings}


def without_head_size(settings):
    return {key: value for key, value in settings.items() if key != "head_dim"}


GEMMA3 = {
    **DECODER, "num_hidden_layers": 4, "sliding_window": 8, "sliding_window_pattern": 3, "query_pre_attn_scalar": 20,
    "rope_parameters": {
        "full_attention": rope("linear", base=30000.0, factor=4.0), "sliding_attention": rope("default", base=1000.0)}}

DEEPSEEK = dict(
    vocab_size=80, hidden_size=32, intermediate_size=28, moe_intermediate_size=12, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=4, n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3,
    first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=20, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10,
    max_position_embeddings=128, rms_norm_eps=1e-5, pad_token_id=None, bos_token_id=1, eos_token_id=2)
DEEPSEEK_ROPE = rope(
    "yarn", factor=4.0, beta_fast=16.0, mscale=1.0, mscale_all_dim=0.7, original_max_position_embeddings=32)

GPT_OSS = {
    **DECODER, "vocab_size": 80, "intermediate_size": 20, "sliding_window": 8, "num_local_experts": 4,
    "num_experts_per_tok": 2, "swiglu_limit": 1.0, "rope_parameters": rope(
        "yarn", factor=4.0, beta_fast=16.0, truncate=False, original_max_position_embeddings=32)}

# By folder: the model's class and its configuration.
FAMILIES = {
    "gpt2": ("GPT2LMHeadModel", dict(
        vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2)),
    "llama": ("LlamaForCausalLM", {
        **DECODER, "attention_bias": True, "mlp_bias": True,
        "rope_parameters": rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                original_max_position_embeddings=32)}),
    "llama-yarn": ("LlamaForCausalLM", {
        **without_head_size(DECODER), "tie_word_embeddings": True,
        "rope_parameters": rope("yarn", factor=4.0, beta_fast=16.0, original_max_position_embeddings=32)}),
    "mistral": ("MistralForCausalLM", {**DECODER, "sliding_window": 8, "rope_parameters": rope("default")}),
    "qwen2": ("Qwen2ForCausalLM", {
        **without_head_size(DECODER), "num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
        "rope_parameters": rope("default")}),
    "qwen3": ("Qwen3ForCausalLM", {
        **DECODER, "num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 8, "attention_bias": True,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": rope("default"), "tie_word_embeddings": True}),
    "gemma2": ("Gemma2ForCausalLM", {
        **DECODER, "sliding_window": 8, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 1.5, "num_hidden_layers": 3, "rope_parameters": rope("default")}),
    "gemma3-text": ("Gemma3ForCausalLM", {
        **GEMMA3, "num_hidden_layers": 6, "sliding_window_pattern": 6, "intermediate_size": 24,
        "num_attention_heads": 2, "num_key_value_heads": 1, "query_pre_attn_scalar": 12}),
    "gemma3": ("Gemma3ForConditionalGeneration", dict(
        text_config={**GEMMA3, "num_hidden_layers": 3, "sliding_window_pattern": 2, "attn_logit_softcapping": 4.0},
        vision_config=dict(
            model_type="siglip_vision_model", hidden_size=8, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=2, image_size=28, patch_size=14),
        mm_tokens_per_image=4, image_token_index=95, boi_token_index=93, eoi_token_index=94)),
    "phi3": ("Phi3ForCausalLM", {
        **without_head_size(DECODER), "hidden_size": 48,
        "num_hidden_layers": 2, "original_max_position_embeddings": 64, "sliding_window": 20,
        "rope_parameters": rope("longrope", partial_rotary_factor=0.67, short_factor=[1.0, 1.1, 1.3, 1.6],
                                long_factor=[1.0, 1.7, 2.9, 3.8])}),
    "mixtral": ("MixtralForCausalLM", {
        **DECODER, "vocab_size": 80, "intermediate_size": 16, "num_local_experts": 5, "sliding_window": 8,
        "rope_parameters": rope("default")}),
    # Of its four layers only the second is a mixture.
    "qwen3-moe": ("Qwen3MoeForCausalLM", {
        **DECODER, "vocab_size": 80, "num_hidden_layers": 4, "intermediate_size": 20, "moe_intermediate_size": 12,
        "num_experts": 6, "num_experts_per_tok": 3, "norm_topk_prob": True, "decoder_sparse_step": 2,
        "mlp_only_layers": [3], "attention_bias": True, "use_sliding_window": True, "sliding_window": 8, "rope_parameters": rope("default")}),
    "deepseek-v2": ("DeepseekV2ForCausalLM", {
        **DEEPSEEK, "q_lora_rank": None, "topk_method": "greedy", "routed_scaling_factor": 1.0,
        "rope_parameters": rope("default")}),
    "deepseek-v2-groups": ("DeepseekV2ForCausalLM", {
        **DEEPSEEK, "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "attention_bias": True,
        "routed_scaling_factor": 2.0, "rope_parameters": DEEPSEEK_ROPE}),
    "deepseek-v3": ("DeepseekV3ForCausalLM", {
        **DEEPSEEK, "n_group": 4, "topk_group": 2, "rope_parameters": DEEPSEEK_ROPE}),
    "gpt-oss": ("GptOssForCausalLM", GPT_OSS),
    "gpt-oss-mxfp4": ("GptOssForCausalLM", {**GPT_OSS, "intermediate_size": 32}),
}


def randomize(model, generator):
    """Every parameter random, so that a forgotten one shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("embed_tokens.weight"):
                # Small, so that a tied head does not say every token again.
                parameter.copy_(noise * 0.5 / parameter.shape[-1] ** 0.5)
            elif parameter.dim() > 1:
                parameter.copy_(noise * 1.5 / min(parameter.shape[-2:]) ** 0.5)
            elif "norm" in name or ".ln_" in name and name.endswith("weight"):
                # Around what leaves the norm alone: 1, or 0 where 1 is added.
                parameter.copy_(parameter.mean().round() + 0.3 * noise)
            else:
                parameter.copy_(0.3 * noise)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))


def mxfp4(weights):
    """[experts, inputs, outputs] in steps of MXFP4: blocks [experts, outputs, inputs / 32, 16], the first of two values in a
    byte's low half, scales [experts, outputs, inputs / 32] with 127 for 1, and the weights that they stand for."""
    magnitudes = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    values = torch.cat([magnitudes, -magnitudes])
    blocks = weights.transpose(1, 2).unflatten(-1, (-1, 32))
    exponents = (blocks.abs().amax(-1) / 6).log2().ceil()
    codes = (blocks / exponents.exp2()[..., None])[..., None].sub(values).abs().argmin(-1)
    dense = (values[codes] * exponents.exp2()[..., None]).flatten(-2).transpose(1, 2)
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    return packed.to(torch.uint8), (exponents + 127).to(torch.uint8), dense.contiguous()


def quantize_experts(model):
    """The experts' weights in MXFP4, as gpt-oss was published; what replaces them in the file."""
    stored = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
                stored[name + "_blocks"], stored[name + "_scales"], dense = mxfp4(parameter)
                parameter.copy_(dense)
    return stored


def replace_tensors(folder, stored):
    tensors = load_file(folder / "model.safetensors")
    for name in stored:
        tensors.pop(name.rsplit("_", 1)[0], None)
    save_file(tensors | stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def greedy(model, prompt):
    """The likeliest tokens, and the least margin by which one was the likeliest."""
    text, margin = prompt.tolist(), float("inf")
    for _ in range(GREEDY):
        logits = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1]
        best, second = logits.topk(2).values.tolist()
        margin = min(margin, best - second)
        if margin < MARGIN:
            break
        text.append(int(logits.argmax()))
    return torch.tensor(text[len(prompt):], dtype=torch.int32), margin


def make(name, folder):
    kind, settings = FAMILIES[name]
    for seed in range(1, 1000):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model_class = getattr(transformers, kind)
        config = model_class.config_class(**json.loads(json.dumps(settings)))
        config._attn_implementation = "eager"
        model = model_class(config).float().eval()
        randomize(model, generator)
        stored = quantize_experts(model) if name.endswith("mxfp4") else {}
        vocabulary = model.get_input_embeddings().weight.shape[0]
        # The last few are left to special tokens.
        prompt = torch.randint(3, vocabulary - 6, (PROMPT,), generator=generator, dtype=torch.int32)
        with torch.no_grad():
            logits = model(input_ids=prompt[None].long(), use_cache=False).logits[0]
            tokens, margin = greedy(model, prompt)
        if margin > MARGIN and len(set(tokens.tolist())) > 12:
            break
    else:
        sys.exit(f"{name}: no seed gives clear choices")
    model.save_pretrained(folder / name)
    if stored:
        replace_tensors(folder / name, stored)
    (folder / name / "generation_config.json").unlink(missing_ok=True)
    save_file({"prompt": prompt, "greedy": tokens, "logits": logits.float().contiguous()},
              folder / name / "expected.safetensors")
    size = sum(file.stat().st_size for file in (folder / name).iterdir())
    print(f"{name}: seed {seed}, margin {margin:.4f}, {len(set(tokens.tolist()))} different tokens, {size // 1000} KB")


# By name: the length of the text and what stands in config.json, in the words of `transformers` 4 and 5.
ROTARY = {
    "default": (100, dict(rope_theta=500.0)),
    "linear": (100, dict(rope_theta=500.0, rope_scaling=dict(type="linear", factor=4.0))),
    "dynamic, short": (40, dict(rope_scaling=dict(rope_type="dynamic", factor=3.0))),
    "dynamic, long": (100, dict(rope_scaling=dict(rope_type="dynamic", factor=3.0))),
    "llama3": (100, dict(rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32))),
    "yarn": (100, dict(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16))),
    "yarn of DeepSeek": (100, dict(rope_parameters=rope(
        "yarn", factor=40.0, beta_fast=32, beta_slow=1, mscale=0.707, mscale_all_dim=1.0,
        original_max_position_embeddings=24))),
    "yarn without rounding": (100, dict(rope_parameters=rope(
        "yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False, original_max_position_embeddings=48))),
    "yarn with a factor on attention": (100, dict(rope_parameters=rope(
        "yarn", factor=4.0, attention_factor=1.7, original_max_position_embeddings=16))),
    "longrope, short": (32, dict(original_max_position_embeddings=32, rope_scaling=dict(
        type="longrope", short_factor=[1.0 + 0.1 * i for i in range(8)], long_factor=[1.0 + i for i in range(8)]))),
    "longrope, long": (100, dict(original_max_position_embeddings=32, rope_scaling=dict(
        type="longrope", short_factor=[1.0 + 0.1 * i for i in range(8)], long_factor=[1.0 + i for i in range(8)]))),
    "part of a head": (100, dict(rope_theta=500.0, partial_rotary_factor=0.5)),
}


def rotary(folder):
    from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
    entries = []
    for name, (length, settings) in ROTARY.items():
        settings = json.loads(json.dumps(settings))
        base = dict(vocab_size=16, hidden_size=64, intermediate_size=16, num_hidden_layers=1, num_attention_heads=4,
                    max_position_embeddings=64)
        config = transformers.LlamaConfig(**base, **json.loads(json.dumps(settings)))
        positions = sorted({0, 1, 7, 31, length // 2, length - 1})
        # As Llama's, but it also knows of heads that are rotated in part.
        embedding = Phi3RotaryEmbedding(config)
        cosines, sines = embedding(torch.zeros(1), torch.arange(length)[None])
        pairs = cosines.shape[-1] // 2
        entries.append(dict(
            name=name, config=dict(model_type="llama", **base, **settings), length=length, positions=positions,
            cosines=[[float(f"{v:.9g}") for v in cosines[0, p, :pairs].tolist()] for p in positions],
            sines=[[float(f"{v:.9g}") for v in sines[0, p, :pairs].tolist()] for p in positions]))
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (folder.parent / "rotary.json").write_text("[\n" + lines + "\n]\n")
    print(f"rotary: {len(entries)} scalings")


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or [*FAMILIES, "rotary"]:
        if name == "rotary":
            rotary(folder)
        else:
            make(name, folder)


if __name__ == "__main__":
    main()
