#!/usr/bin/env python3
"""Makes the fixtures of Tests/FormatsTests with other people's implementations.

Needs `pip install numpy regex safetensors tiktoken tokenizers`. Usage:

    make-tokenizer-fixtures.py OUT [VOCABULARIES]

OUT is Tests/FormatsTests/Fixtures. VOCABULARIES is a folder with gpt2.tiktoken; without it the encodings of the real
vocabulary are left out. Everything is drawn from fixed seeds, so the same versions give the same files.
"""
import base64
import json
import pathlib
import random
import sys

import numpy
import regex
import safetensors.numpy
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"""
    r"""|\s+(?!\S)|\s"""
)
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])
TIKTOKEN = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K}
HUGGING_FACE = {"llama3": LLAMA3, "qwen2": QWEN2}

# Characters of every class that the rules tell apart, and the neighbours that provoke backtracking.
ALPHABET = (
    list("abcxyzABCXYZ0123456789 '.,!?-_/\\\"()\t\n\r") + [" ", "  ", "\n", "\n\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085"]
    + ["'s", "'t", "'re", "'VE", "'m", "'Ll", "'d", "'S", "'\u017f", "'x", "\u017f"]
    + list("éßØñЖжДя中文字日本語한국어אבعربهिंදෙ") + ["Ǆ", "ǅ", "ǆ", "ʰ", "ª", "\u0301", "\u0327", "\u20e3", "½", "Ⅷ", "٣", "²", "🦙", "👩‍🚀", "…", "€"]
)


def texts():
    dice = random.Random(20240607)
    drawn = ["".join(dice.choice(ALPHABET) for _ in range(dice.randint(1, 40))) for _ in range(700)]
    prose = [
        "Hello world! It's a test: we'll see, they've 12345 apples (and 3.14159 pies).",
        "def main(argv):\n    for i in range(10):\n        print(f'{i:03d}')\n\n\n    return 0\n",
        "Größe, naïve café, Привет мир, 你好世界 — नमस्ते दुनिया 🌍🚀\n\n\tTabs\tand   spaces   ",
        "CamelCaseWordsAndHTTPServers, iPhone's don't DON'T I'LL", "   leading", "trailing \n  ", "\n\n  \n", " ", "a", "",
    ]
    return prose + drawn


def splits(out, samples):
    table = {"texts": samples}
    for rule, pattern in TIKTOKEN.items():
        engine = regex.compile(pattern.replace("$", r"\Z"))
        table[rule] = [[len(m.encode()) for m in engine.findall(text)] for text in samples]
    for rule, pattern in HUGGING_FACE.items():
        engine = pre_tokenizers.Split(Regex(pattern), "isolated")
        table[rule] = [[len(piece.encode()) for piece, _ in engine.pre_tokenize_str(text)] for text in samples]
    for rule in table.keys() - {"texts"}:
        assert all(sum(a) == len(t.encode()) for a, t in zip(table[rule], samples)), rule
    (out / "splits.json").write_text(json.dumps(table, ensure_ascii=True))


def hugging_face(out, samples):
    for rule, pattern in {"gpt2": None, **HUGGING_FACE}.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=rule == "llama3"))
        if pattern is None:
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ])
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(samples * 2, trainers.BpeTrainer(
            vocab_size=420, special_tokens=["<|endoftext|>", "<|pad|>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        tokenizer.save(str(out / f"{rule}-tokenizer.json"), pretty=False)
        marked = [text[: len(text) // 2] + "<|endoftext|>" + text[len(text) // 2 :] for text in samples[:200]]
        expected = [tokenizer.encode(text).ids for text in marked]
        (out / f"{rule}-encodings.json").write_text(json.dumps({"texts": marked, "tokens": expected}))


def real_vocabulary(out, samples, path):
    ranks = {}
    for line in path.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    table = {"texts": samples[:300]}
    for rule, pattern in TIKTOKEN.items():
        encoding = tiktoken.Encoding(rule, pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
        table[rule] = [encoding.encode_ordinary(text) for text in table["texts"]]
    (out / "gpt2-vocabulary.json").write_text(json.dumps(table))


def weights(out):
    dice = numpy.random.default_rng(7)
    tensors = {
        "b.weight": dice.standard_normal((3, 5)).astype(numpy.float32), "a.bias": numpy.arange(7, dtype=numpy.int64),
        "half": dice.standard_normal((2, 2, 2)).astype(numpy.float16), "empty": numpy.zeros((0, 4), numpy.float32),
        "scalar": numpy.array(2.5, numpy.float64), "mask": numpy.array([True, False, True]),
        'odd "name"\n é': numpy.arange(5, dtype=numpy.uint8),
    }
    safetensors.numpy.save_file(tensors, out / "sample.safetensors", metadata={"format": "np", "note": "é\n"})


def main():
    out = pathlib.Path(sys.argv[1])
    samples = texts()
    splits(out, samples)
    hugging_face(out, samples)
    weights(out)
    if len(sys.argv) > 2:
        real_vocabulary(out, samples, pathlib.Path(sys.argv[2]) / "gpt2.tiktoken")


main()
