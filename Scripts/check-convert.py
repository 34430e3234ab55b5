#!/usr/bin/env python3
"""Checks `tachornis convert` against transformers and llama.cpp on random models of every family that it knows.

    pip install torch transformers tokenizers safetensors gguf llama-cpp-python
    PYTHONPATH=LLAMA.CPP:LLAMA.CPP/gguf-py python Scripts/check-convert.py .build/release/tachornis [family ...]

For each family: a random checkpoint is converted to GGUF; llama.cpp must make the same tokens of texts, the same logits (to
what its arithmetic allows) and the same greedy tokens as transformers, and so must this package with the file; converted back,
every tensor must have the bits that it had, transformers must compute the same logits from the folder and cut texts alike.
Where PYTHONPATH has a checkout of llama.cpp, its own converter's file must give the same logits here, too.
"""
import json
import logging
import os
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import tokenizers
import torch
import transformers
from safetensors import safe_open
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

VOCABULARY = 400
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
CAPITALS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITALS}*{SMALL}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         rf"|[^\r\n\p{{L}}\p{{N}}]?{CAPITALS}+{SMALL}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
             r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
TEXTS = ["The fast bird, the swift, flies.", " two  spaces\n\nand lines ", "naïve café 日本語 🙂 e\u0301", "it's 12345 don't",
         "x" * 40]
CORPUS = [__doc__, "The fast bird, the swift, flies far. " * 3, "It's a naïve café, don't you think? 12345 67",
          open(__file__).read()]

SIZES = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2)
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=8192)
DEEPSEEK = dict(
    vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3,
    first_k_dense_replace=1, kv_lora_rank=32, q_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32,
    max_position_embeddings=256, initializer_range=0.2, pad_token_id=None)


def families():
    t = transformers
    return {
        "llama": (t.LlamaConfig(**SIZES, tie_word_embeddings=False), "pieces"),
        "llama3": (t.LlamaConfig(**SIZES, rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True), "llama3"),
        "llama-bf16": (t.LlamaConfig(**SIZES, tie_word_embeddings=False), "gpt2"),
        "llama-bias": (t.LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True), "gpt2"),
        "llama-linear": (t.LlamaConfig(
            **SIZES, rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.0)), "gpt2"),
        "mistral": (t.MistralConfig(**SIZES, sliding_window=None, head_dim=16), "pieces"),
        "mixtral": (t.MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2, sliding_window=None), "gpt2"),
        "qwen2": (t.Qwen2Config(**SIZES), "qwen2"),
        "qwen3": (t.Qwen3Config(**SIZES, head_dim=32), "qwen2"),
        "qwen3moe": (t.Qwen3MoeConfig(**SIZES, head_dim=32, num_experts=4, num_experts_per_tok=2,
                                      moe_intermediate_size=48, norm_topk_prob=True), "qwen2"),
        "gemma2": (t.Gemma2Config(**SIZES, head_dim=32, query_pre_attn_scalar=32, sliding_window=16), "pieces-bare"),
        "gemma3": (t.Gemma3TextConfig(
            **SIZES, head_dim=32, query_pre_attn_scalar=32, sliding_window=16), "pieces-bare"),
        "phi3": (t.Phi3Config(**SIZES | dict(hidden_size=96), original_max_position_embeddings=32, rope_parameters=dict(
            rope_type="longrope", rope_theta=1e4, short_factor=[1 + i / 20 for i in range(12)],
            long_factor=[1 + i / 5 for i in range(12)], original_max_position_embeddings=32), sliding_window=None,
            pad_token_id=0), "pieces"),
        "deepseek2": (t.DeepseekV2Config(
            **DEEPSEEK, topk_method="greedy", n_group=1, topk_group=1, routed_scaling_factor=1.0), "gpt2"),
        "deepseek3": (t.DeepseekV3Config(
            **DEEPSEEK, n_group=4, topk_group=2, rope_parameters=dict(
                rope_type="yarn", rope_theta=1e4, factor=4.0, mscale=1.0, mscale_all_dim=1.0, beta_fast=32, beta_slow=1,
                original_max_position_embeddings=64)), "deepseek3"),
        "gpt-oss": (t.GptOssConfig(
            **SIZES, head_dim=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=16, rope_parameters=dict(
                rope_type="default", rope_theta=1e4)), "gpt4o"),
        "gpt2": (t.GPT2Config(vocab_size=VOCABULARY, n_positions=256, n_embd=64, n_layer=3, n_head=4,
                              initializer_range=0.2), "gpt2"),
    }


def tokenizer(kind, size=VOCABULARY - 7):
    """Trains a tokenizer."""
    specials = ["<unk>", "<s>", "</s>"]
    if kind.startswith("pieces"):
        result = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        replace = normalizers.Replace(" ", "▁")
        bare = kind == "pieces-bare"
        result.normalizer = replace if bare else normalizers.Sequence([normalizers.Prepend("▁"), replace])
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        result.decoder = decoders.Sequence(steps if bare else steps + [decoders.Strip(" ", 1, 0)])
        specials += [f"<0x{byte:02X}>" for byte in range(256)]
    else:
        result = tokenizers.Tokenizer(models.BPE())
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt2")
        patterns = {"llama3": [LLAMA3], "qwen2": [LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")], "gpt2": [], "gpt4o": [GPT4O],
                    "deepseek3": DEEPSEEK3}[kind]
        result.pre_tokenizer = byte_level if not patterns else pre_tokenizers.Sequence(
            [*[pre_tokenizers.Split(tokenizers.Regex(p), "isolated") for p in patterns], byte_level])
        if kind == "qwen2":
            result.normalizer = normalizers.NFC()
        result.decoder = decoders.ByteLevel()
    alphabet = [] if kind.startswith("pieces") else pre_tokenizers.ByteLevel.alphabet()
    result.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False))
    if kind.startswith("pieces"):  # bytes are ordinary tokens
        parts = json.loads(result.to_str())
        parts["added_tokens"] = parts["added_tokens"][:3]
        result = tokenizers.Tokenizer.from_str(json.dumps(parts))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=result, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")


def randomise(model):
    """Norms and biases are not what they start as, so that a forgotten one shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)


def tensors(folder, ending=".safetensors"):
    result = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(ending):
            with safe_open(f"{folder}/{name}", "pt") as file:
                for key in file.keys():
                    result[key] = file.get_tensor(key)
    return result


def greedy(model, prompt, count):
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(prompt):]


def llama_greedy(model, prompt, count):
    tokens = []
    model.reset()
    model.eval(prompt)
    for _ in range(count):
        tokens.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        model.eval(tokens[-1:])
    return tokens


def error_of(tool, model, text, folder, transformer):
    """How far the logits of this package are from transformers'."""
    with open(f"{folder}/text.txt", "w") as file:
        file.write(text)
    subprocess.run([tool, "evaluate", "--model", model, "--data", f"{folder}/text.txt", "--window", "40", "--batch", "1",
                    "--threads", "1", "--logits", f"{folder}/logits.safetensors"], check=True, stdout=subprocess.DEVNULL)
    found = tensors(folder, "logits.safetensors")
    with torch.no_grad():
        expected = transformer(found["tokens"].long()).logits[0]
    return float((found["logits"].reshape(expected.shape) - expected).norm() / expected.norm())


def llama_converted(source, path):
    """A file by llama.cpp's converter; None if there is none or it does not take the model. It knows tokenizers by a hash of
    what they do, which ours do not have."""
    try:
        from conversion import base, get_model_class
    except ImportError:
        return None
    settings = base.ModelBase.load_hparams(Path(source), False)
    if "n_positions" in settings:  # GPT-2's converter wants its older name, too
        Path(f"{source}/config.json").write_text(json.dumps({**settings, "n_ctx": settings["n_positions"]}))
    architecture = settings["architectures"][0]
    model = get_model_class(architecture)
    model.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    model.set_vocab = base.TextModel._set_vocab_gpt2
    logging.disable()
    model(Path(source), gguf.LlamaFileType.ALL_F32, Path(path)).write()
    return path


def check(tool, name, config, kind):
    torch.manual_seed(sum(name.encode()))
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    randomise(model)
    if name.endswith("bf16"):
        model = model.to(torch.bfloat16)
    vocabulary = tokenizer(kind)
    with tempfile.TemporaryDirectory() as folder:
        source, back, file = f"{folder}/source", f"{folder}/back", f"{folder}/model.gguf"
        model.save_pretrained(source)
        vocabulary.save_pretrained(source)
        subprocess.run([tool, "convert", source, file], check=True)
        reader = gguf.GGUFReader(file)
        assert len(reader.tensors) > 10
        model = model.float()
        llama = llama_cpp.Llama(file, n_ctx=256, n_batch=256, logits_all=True, verbose=False, n_threads=1)
        for text in TEXTS:
            if kind == "qwen2":  # whose texts llama.cpp does not normalise
                text = unicodedata.normalize("NFC", text)
            ours = vocabulary(text, add_special_tokens=False).input_ids
            theirs = llama.tokenize(text.encode(), add_bos=False, special=False)
            assert ours == theirs, (name, text, ours, theirs)
        prompt = vocabulary(" ".join(TEXTS), add_special_tokens=False).input_ids[:40]
        with torch.no_grad():
            expected = model(torch.tensor([prompt])).logits[0].numpy()
        llama.eval(prompt)
        logits = np.array(llama.scores[:len(prompt)])
        error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
        error_here = error_of(tool, file, " ".join(TEXTS), folder, model)
        # With its special tokens counted twice as many as the model has, which the converter for Gemma 3 relies on.
        tokenizer("gpt2", VOCABULARY - 3).save_pretrained(source)
        theirs = llama_converted(source, f"{folder}/theirs.gguf")
        error_there = error_of(tool, theirs, " ".join(TEXTS), folder, model) if theirs else float("nan")
        vocabulary.save_pretrained(source)
        ours, theirs = greedy(model, prompt, 32), llama_greedy(llama, prompt, 32)
        same = "equal"
        if ours != theirs:  # a tie, if the two best are closer than what llama.cpp's arithmetic makes of a logit
            place = next(index for index in range(32) if ours[index] != theirs[index])
            with torch.no_grad():
                best = model(torch.tensor([prompt + ours[:place]])).logits[0, -1].topk(2).values
            same = f"DIFFER at {place}, where the best two logits are {float(best[0] - best[1]):.1e} apart"
        subprocess.run([tool, "convert", file, back], check=True)
        before, after = tensors(source), tensors(back)
        assert before.keys() == after.keys(), (before.keys() ^ after.keys())
        changed = [key for key in before
                   if before[key].dtype != after[key].dtype or not torch.equal(before[key], after[key])]
        if name.startswith("gemma"):  # GGUF files hold 1 + w, which rounds
            changed = [key for key in changed if "norm" not in key or (before[key] - after[key]).abs().max() > 2e-7]
        again = transformers.AutoModelForCausalLM.from_pretrained(back).float().eval()
        with torch.no_grad():
            difference = float((again(torch.tensor([prompt])).logits[0] - torch.tensor(expected)).abs().max())
        cut = transformers.AutoTokenizer.from_pretrained(back)
        for text in TEXTS:
            ours = vocabulary(text, add_special_tokens=False).input_ids
            theirs = cut(text, add_special_tokens=False).input_ids
            assert ours == theirs, (name, text, ours, theirs)
            assert cut.decode(theirs) == vocabulary.decode(ours)
        assert cut.chat_template == vocabulary.chat_template
        print(f"{name:14} logits here {error_here:.1e}, here of llama.cpp's file {error_there:.1e}, of llama.cpp {error:.1e}, "
              f"32 greedy tokens {same} (largest error of a logit {np.abs(logits - expected).max():.1e}); "
              f"back: {len(before)} tensors, changed {changed or 'none'}, logits of transformers {difference:.1e}")


def main():
    tool = sys.argv[1]
    wanted = sys.argv[2:]
    for name, (config, kind) in families().items():
        if not wanted or name in wanted:
            check(tool, name, config, kind)


main()
