#!/usr/bin/env python3
"""Encoding speed of tiktoken and tokenizers on one thread, megabytes (10^6 bytes of UTF-8) a second.

    tokenize_text.py --vocabulary gpt2.tiktoken --text FILE [--text FILE] [--tokenizer-json FILE]

The vocabulary is a .tiktoken file (base64 token, rank). tokenizers gets the same vocabulary, its merges recovered from
the ranks, unless a tokenizer.json is given. Each text is encoded as one string, and by lines ("mode": "lines").
"""
import base64
import os
import pathlib

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tiktoken
import tokenizers
from tokenizers import Regex, decoders, pre_tokenizers

from measure import median_seconds, options, report, wanted

PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ),
}

arguments = options(
    __doc__, vocabulary={"required": True}, text={"action": "append", "required": True}, tokenizer_json={},
    pattern={"choices": list(PATTERNS), "default": "gpt2"},
)


def byte_characters():
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte], extra = chr(256 + extra), extra + 1
    return table


def merges_of(ranks):
    """The merge that makes each token: its bytes merged with lower ranks only, which leaves two parts."""
    for token, rank in sorted(ranks.items(), key=lambda entry: entry[1]):
        if len(token) == 1:
            continue
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            candidates = [(ranks.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1)]
            lowest, at = min(candidates)
            if lowest >= rank:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            yield parts[0], parts[1]


def hugging_face(ranks, pattern):
    characters = byte_characters()

    def written(token):
        return "".join(characters[byte] for byte in token)

    merges = [(written(a), written(b)) for a, b in merges_of(ranks)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({written(t): r for t, r in ranks.items()}, merges))
    if arguments.pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


ranks = {}
for line in pathlib.Path(arguments.vocabulary).read_bytes().splitlines():
    if line:
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
pattern = PATTERNS[arguments.pattern]
encoding = tiktoken.Encoding("peer", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
if arguments.tokenizer_json:
    other = tokenizers.Tokenizer.from_file(arguments.tokenizer_json)
else:
    other = hugging_face(ranks, pattern)

for path in arguments.text:
    text = pathlib.Path(path).read_bytes().decode("utf-8")
    lines, size, shape = text.splitlines(keepends=True), len(text.encode()), pathlib.Path(path).name
    if not wanted(arguments, "tokenize", arguments.pattern, shape, "encode"):
        continue
    expected = encoding.encode_ordinary(text)
    same = other.encode(text, add_special_tokens=False).ids == expected
    bodies = [
        ("tiktoken", "whole", lambda: encoding.encode_ordinary(text)),
        ("tiktoken", "lines", lambda: [encoding.encode_ordinary(line) for line in lines]),
        ("tokenizers", "whole", lambda: other.encode(text, add_special_tokens=False)),
        ("tokenizers", "lines", lambda: other.encode_batch_fast(lines, add_special_tokens=False)),
    ]
    for peer, mode, body in bodies:
        seconds = median_seconds(body, arguments.seconds)
        report("tokenize", arguments.pattern, shape, "encode", seconds, bytes=size, peer=peer, mode=mode,
               tokens=len(expected), megabytesPerSecond=size / seconds / 1e6, agree=same)
