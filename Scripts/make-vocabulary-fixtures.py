#!/usr/bin/env python3
"""Makes Tests/FormatsTests/Fixtures/vocabularies.json: folders without tokenizer.json, and what others make of them.

Needs `pip install transformers tokenizers sentencepiece tiktoken mistral-common`. Usage:

    make-vocabulary-fixtures.py OUT

OUT is Tests/FormatsTests/Fixtures. A case is a folder as file names and texts, and the tokens of all texts with special
tokens put around them and, if "recognizes" is true, read as such. "long" is a text of many repetitions, whose sum of scores passes 100,000, with
the number and a hash of the tokens that sentencepiece finds by unigram.model.
"""
import base64
import json
import pathlib
import sys
import tempfile

import sentencepiece
import tiktoken
import transformers
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXTS = [
    "Hello world! It's a test: we'll see, they've 12345 apples (and 3.14159 pies).", "   leading", "trailing \n  ", "",
    "Größe, naïve café, cafe\u0301, Привет мир, 你好世界 — नमस्ते दुनिया 🌍🚀\n\n\tTabs\tand   spaces   ", "don't DON'T I'LL",
    "<s>a</s> <mask>  b  <mask>", "[CLS] one [SEP] two [MASK] three[PAD]", "<|endoftext|>x<|im_start|>user\nhi<|im_end|>",
    "[INST] hi [/INST]<SPECIAL_25>", "the quick brown fox jumps over the lazy dog, unaffordable", "e\u0301 \u00c5 \ufb01 x",
]
PATTERN = (  # Mistral's
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pairs():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=330, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return model["vocab"], "\n".join(["#version: 0.2", *merges, ""])


def words():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    lower = [text.lower() for text in TEXTS]
    tokenizer.train_from_iterator(
        TEXTS + lower + lower, trainers.WordPieceTrainer(vocab_size=260, special_tokens=special, show_progress=False))
    return "".join(token + "\n" for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]))


def ranks(vocabulary):
    """The byte strings of a byte-level vocabulary: the bytes first, then what merges make, in order."""
    decoder = {character: byte for byte, character in transformers.convert_slow_tokenizer.bytes_to_unicode().items()}
    spelled = [bytes(decoder[c] for c in token) for token, _ in sorted(vocabulary.items(), key=lambda entry: entry[1])]
    return [bytes([byte]) for byte in range(256)] + [token for token in spelled if len(token) > 1]


def folders():
    vocabulary, merges = pairs()

    def with_pairs(name, config, extra=(), **files):
        more = {token: len(vocabulary) + index for index, token in enumerate(extra)}
        return name, {"vocab.json": json.dumps({**vocabulary, **more}), "merges.txt": merges,
                      "tokenizer_config.json": json.dumps(config), **files}

    def special(content, **flags):
        return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                "special": True, **flags}

    yield with_pairs("gpt2", {"tokenizer_class": "GPT2Tokenizer"}, ["<|endoftext|>"])
    yield with_pairs("roberta", {"tokenizer_class": "RobertaTokenizer"}, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    first = len(vocabulary)
    decoder = {str(first + index): special(token)
               for index, token in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])}
    yield with_pairs("qwen2", {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": decoder,
                               "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None,
                               "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    yield "bert", {"vocab.txt": words(), "tokenizer_config.json": json.dumps({"tokenizer_class": "BertTokenizer"})}
    yield "bert-cased", {"vocab.txt": words(), "tokenizer_config.json": json.dumps(
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "tokenize_chinese_chars": False})}


def tekken(vocabulary, folder, lists):
    tokens = ranks(vocabulary)
    document = {
        "config": {"pattern": PATTERN, "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) + 30 - 2,
                   "default_num_special_tokens": 30, "version": "v7" if lists else "v3"},
        "vocab": [{"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
                  for rank, token in enumerate(tokens)],
    }
    if lists:
        names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
        document["special_tokens"] = [
            {"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(names)]
    path = pathlib.Path(folder) / "tekken.json"
    path.write_text(json.dumps(document))
    tokenizer = Tekkenizer.from_file(path)
    return {"tekken.json": path.read_text()}, lambda text: tokenizer.encode(text, bos=True, eos=False)


def tiktoken_folder(vocabulary):
    tokens = ranks(vocabulary)
    encoding = tiktoken.Encoding("peer", pat_str=PATTERN, mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
                                 special_tokens={"[CLS]": len(tokens), "<mask>": len(tokens) + 1})
    lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    decoder = {str(number): {"content": spelling, "lstrip": False, "normalized": False, "rstrip": False,
                             "single_word": False, "special": True}
               for spelling, number in encoding._special_tokens.items()}
    config = {"tokenizer_class": "OurTokenizer", "pattern": PATTERN, "added_tokens_decoder": decoder}
    return ({"tiktoken.model": lines, "tokenizer_config.json": json.dumps(config)},
            lambda text: encoding.encode(text, allowed_special="all"))


def hashed(tokens):
    value = 0
    for token in tokens:
        value = (value * 31 + token) % (1 << 32)
    return value


def main(out):
    cases = []

    def add(name, files, encode, recognizes=True):
        cases.append({"name": name, "files": files, "recognizes": recognizes, "tokens": [encode(text) for text in TEXTS]})

    with tempfile.TemporaryDirectory() as place:
        for name, files in folders():
            folder = pathlib.Path(place) / name
            folder.mkdir()
            for file, text in files.items():
                (folder / file).write_text(text)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            add(name, files, lambda text: tokenizer(text)["input_ids"])
        vocabulary, _ = pairs()
        # Mistral's own program reads special tokens in texts as text.
        add("tekken", *tekken(vocabulary, place, True), recognizes=False)
        add("tekken-v3", *tekken(vocabulary, place, False), recognizes=False)
        add("tiktoken", *tiktoken_folder(vocabulary))
    unit = "".join(text + " " for text in TEXTS if "<" not in text)
    long = unit * 300
    tokens = sentencepiece.SentencePieceProcessor(model_file=str(out / "unigram.model")).encode(long)
    document = {"texts": TEXTS, "cases": cases,
                "long": {"text": unit, "repeated": 300, "count": len(tokens), "hash": hashed(tokens)}}
    (out / "vocabularies.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


main(pathlib.Path(sys.argv[1]))
