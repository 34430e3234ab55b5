#!/usr/bin/env python3
"""Speed of tokenizers, sentencepiece and tiktoken on one thread, megabytes (10^6 bytes of UTF-8) of text a second.

    tokenize_text.py --vocabulary FILE [--vocabulary FILE] --text FILE [--text FILE]

A vocabulary is a tokenizer.json, a SentencePiece .model, a .tiktoken file (under GPT-2's splitting rule) or a GGUF file
with the tokenizer of GPT-2 or BERT; others are left out. tokenizers gets the same vocabulary as the others: merges are
recovered from ranks or scores. Each text is encoded, and decoded, as one string, and encoded by lines ("mode": "lines").
"""
import base64
import itertools
import os
import pathlib
import sys

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from measure import median_seconds, options, report, wanted

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

arguments = options(
    __doc__, vocabulary={"action": "append", "required": True}, text={"action": "append", "required": True})


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


def merges_of_ranks(ranks):
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


def merges_of_scores(scores):
    """All pairs of tokens that make a third, those with the best result first."""
    for token, _ in sorted(scores.items(), key=lambda entry: -entry[1]):
        halves = ((token[:at], token[at:]) for at in range(1, len(token)))
        yield from (pair for pair in halves if pair[0] in scores and pair[1] in scores)


def byte_level(vocabulary, merges):
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def tiktoken_peers(path):
    import tiktoken

    lines = (line.split() for line in pathlib.Path(path).read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding("peer", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})
    characters = byte_characters()

    def written(token):
        return "".join(characters[byte] for byte in token)

    merges = [(written(a), written(b)) for a, b in merges_of_ranks(ranks)]
    yield "tiktoken", encoding.encode_ordinary, encoding.decode
    yield hugging_face(byte_level({written(token): rank for token, rank in ranks.items()}, merges))


def sentencepiece_peers(path):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    yield "sentencepiece", processor.encode, processor.decode
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(pathlib.Path(path).read_bytes())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    if proto.trainer_spec.model_type == proto.trainer_spec.UNIGRAM:  # as T5's is converted
        tokenizer = tokenizers.Tokenizer(models.Unigram(pieces, proto.trainer_spec.unk_id, False))
        rules = normalizers.Precompiled(bytes(proto.normalizer_spec.precompiled_charsmap))
        tokenizer.normalizer = normalizers.Sequence([rules, normalizers.Replace(Regex(" {2,}"), " ")])
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    else:  # as Llama 2's is
        normal = {piece.piece: piece.score for piece in proto.pieces if piece.type == piece.NORMAL}
        vocabulary = {piece: token for token, (piece, _) in enumerate(pieces)}
        model = models.BPE(vocabulary, list(merges_of_scores(normal)), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
        tokenizer = tokenizers.Tokenizer(model)
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([
            decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    yield hugging_face(tokenizer)


def gguf_peers(path):
    import gguf

    fields = gguf.GGUFReader(path).fields
    contents = {name: fields["tokenizer.ggml." + name].contents() for name in ["model", "tokens"]}
    tokens = contents["tokens"]
    if contents["model"] == "bert":
        spelled = [token[1:] if token.startswith("▁") else token if token.startswith("[") else "##" + token for token in tokens]
        tokenizer = tokenizers.Tokenizer(models.WordPiece(
            {token: number for number, token in enumerate(spelled)}, unk_token="[UNK]", max_input_chars_per_word=100))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        yield hugging_face(tokenizer)
    elif contents["model"] == "gpt2" and fields["tokenizer.ggml.pre"].contents() == "gpt-2":
        merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
        yield hugging_face(byte_level({token: number for number, token in enumerate(tokens)}, merges))


def hugging_face(tokenizer):
    def encode(text):
        if isinstance(text, list):
            return tokenizer.encode_batch_fast(text, add_special_tokens=False)
        return tokenizer.encode(text, add_special_tokens=False).ids

    return "tokenizers", encode, tokenizer.decode


def json_peers(path):
    yield hugging_face(tokenizers.Tokenizer.from_file(path))


KINDS = {".tiktoken": tiktoken_peers, ".model": sentencepiece_peers, ".gguf": gguf_peers, ".json": json_peers}

for path, vocabulary in itertools.product(arguments.text, arguments.vocabulary):
    kind, shape = pathlib.Path(vocabulary).name, pathlib.Path(path).name
    if not wanted(arguments, "tokenize", kind, shape, "encode"):
        continue
    text = pathlib.Path(path).read_bytes().decode("utf-8")
    lines, size = text.splitlines(keepends=True), len(text.encode())
    for peer, encode, decode in KINDS[pathlib.Path(vocabulary).suffix](vocabulary):
        tokens = encode(text)
        many = (lambda: encode(lines)) if peer == "tokenizers" else (lambda: [encode(line) for line in lines])
        for variant, mode, body in [("encode", "whole", lambda: encode(text)), ("encode", "lines", many),
                                    ("decode", "whole", lambda: decode(tokens))]:
            seconds = median_seconds(body, arguments.seconds)
            report("tokenize", kind, shape, variant, seconds, bytes=size, peer=peer, mode=mode, tokens=len(tokens),
                   megabytesPerSecond=size / seconds / 1e6)
            sys.stdout.flush()
