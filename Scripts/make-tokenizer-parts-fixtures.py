#!/usr/bin/env python3
"""Makes the fixtures of Tests/FormatsTests/Tokenizers/TokenizerPartsTests.swift, or compares on many random texts.

Needs `pip install tokenizers sentencepiece protobuf`. Usage:

    make-tokenizer-parts-fixtures.py OUT                      writes tokenizer-parts.json, unigram.model and pairs.model
    make-tokenizer-parts-fixtures.py --compare COUNT TACHORNIS [VOCABULARY ...]

The second way runs `TACHORNIS tokenize` on COUNT fresh random texts, on long ones without spaces and on bytes that are
not UTF-8, with the tokenizers of the fixtures and any further tokenizer.json or SentencePiece .model.

Everything is drawn from fixed seeds, so the same versions give the same files (but for SentencePiece's dates).
"""
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models, normalizers as N, pre_tokenizers as P
from tokenizers import processors as R, trainers

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PROSE = [
    "Hello world! It's a test: we'll see, they've 12345 apples (and 3.14159 pies).", "   leading", "trailing \n  ", "", " ",
    "def main(argv):\n    for i in range(10):\n        print(f'{i:03d}')\n\n\n    return 0\n",
    "Größe, naïve café, Привет мир, 你好世界 — नमस्ते दुनिया 🌍🚀\n\n\tTabs\tand   spaces   ",
    "do not worry, it is n't 's ok . is it ? yes ! he 'm", "word words aword word. NewTok newtok raw Tok [LEFT]  x [LEFT] [RIGHT]  y",
    "user piece <tool> <s>a</s> <mask>  b  <mask>", "the quick brown fox jumps over the lazy dog and the other dog",
]
BITS = (
    list("abehtx.,-_/") + ["the", "ing", " ", "  ", "    ", "\n", "\n\n", "\r\n", "\t", "é", "e\u0301", "\u0301\u0327", "ﬁ", "㎏", "½"]
    + ["①", "İ", "ß", "ǅ", "'s", "'S", "'ſ", "don't", "123", "1,234.5", "Ⅷ", "中文", "日本語", "한국어", "가", "שלום", "עִבְרִית"]
    + ["العربية", "हिंदी", "🦙", "👩‍🚀", "👍🏽", "🇩🇪", "❤️", "\u200d", "\u200b", "\ufeff", "\u00a0", "\u2003", "\u3000", "\u0085"]
    + ["\u2028", "\ufffd", "▁", "Ġ", "##", "<0x41>", "<s>", "</s>", "<unk>", "word", "NewTok", "raw Tok", "[LEFT]", "[RIGHT]"]
    + [" [LEFT] ", "<mask>", "user piece", "<tool>", "...", "\x07", "x" * 40, "ab" * 30, "z" * 120, " " * 50, "\u0300" * 10]
)
BLOCKS = [
    (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x400), (0x400, 0x500), (0x590, 0x5F5), (0x600, 0x61C), (0x61E, 0x700), (0x900, 0x980),
    (0x1100, 0x1200), (0x1E00, 0x2070), (0x2460, 0x2500), (0x3000, 0x3100), (0x3300, 0x3400), (0x4E00, 0x4E40), (0xAC00, 0xAC80),
    (0xF900, 0xF980), (0xFB00, 0xFB50), (0xFF00, 0xFFF0), (0x1D400, 0x1D480), (0x1F300, 0x1F650), (0x20000, 0x20010), (1, 0x20),
]
POOL = [chr(c) for block in BLOCKS for c in range(*block) if unicodedata.category(chr(c)) != "Cn"]
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re)?"
SPLITS = {
    "deepseek-v3": [
        r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
        r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
    ],
    "kimi": [r"[\p{Han}]+|" + CASED + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "odd": [
        r"(?<=\d)(?=\d{3}\b)|\w+?(?:ab|z)|(?i:STRASSE|é)|[[:alpha:]&&[^aeiou]]{2,3}+|(?>a+)b|[^\S\n]++|\b[A-Z]|^t|e$|(?:x|xx)*y"
    ],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
}


def draw(dice):
    count = dice.randint(1, 14)
    share = dice.choice([0, 0, 0.5, 1])
    return "".join(dice.choice(POOL if dice.random() < share else BITS) for _ in range(count))


def trained(tokenizer, trainer, corpus):
    tokenizer.train_from_iterator(corpus, trainer)
    return json.loads(tokenizer.to_str())


def loaded(document, **parts):
    return Tokenizer.from_str(json.dumps({**document, **parts}))


def pairs(corpus):
    """BPE over characters: as Llama 2 and Gemma have it, with suffixes, and with prefixes."""
    blank = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    blank.normalizer = N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])
    blank.pre_tokenizer = P.Split("▁", "merged_with_next")
    blank.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    blank.post_processor = R.TemplateProcessing("<s> $A", "<s> $A <s> $B:1", [("<s>", 1)])
    document = trained(
        blank, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL + BYTES, show_progress=False, limit_alphabet=60), corpus)
    document["added_tokens"] = document["added_tokens"][: len(SPECIAL)]
    yield "llama-2", loaded(document, pre_tokenizer=None)
    space = {"pattern": {"String": " "}}
    decoders = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                                                 {"type": "ByteFallback"}, {"type": "Fuse"}]}
    yield "gemma", loaded(document, normalizer={"type": "Replace", "content": "▁", **space}, decoder=decoders,
                          pre_tokenizer={"type": "Split", "behavior": "MergedWithPrevious", "invert": False, **space})
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    model = {**document["model"], "byte_fallback": False, "fuse_unk": False, "ignore_merges": True}
    yield "metaspace-first", loaded(document, normalizer=None, pre_tokenizer=metaspace, decoder=metaspace, model=model)
    clip = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    clip.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    clip.pre_tokenizer = P.Sequence([
        P.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
        P.ByteLevel(add_prefix_space=False)])
    clip.decoder = D.BPEDecoder("</w>")
    trainer = trainers.BpeTrainer(vocab_size=560, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False,
                                  initial_alphabet=P.ByteLevel.alphabet())
    yield "clip", loaded(trained(clip, trainer, corpus))
    prefixed = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    prefixed.pre_tokenizer = P.Whitespace()
    prefixed.decoder = D.WordPiece()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, continuing_subword_prefix="##", show_progress=False,
                                  limit_alphabet=60)
    yield "prefixes", loaded(trained(prefixed, trainer, corpus))


def words(corpus):
    """WordPiece with all kinds of normalizers, pre-tokenizers, added tokens; WordLevel."""
    bert = Tokenizer(models.WordPiece(unk_token="<unk>"))
    bert.normalizer, bert.pre_tokenizer, bert.decoder = N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece()
    bert.train_from_iterator(
        corpus, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False, limit_alphabet=80))
    bert.post_processor = R.BertProcessing(("</s>", 2), ("<s>", 1))
    bert.add_special_tokens([AddedToken("[LEFT]", lstrip=True), AddedToken("[RIGHT]", rstrip=True)])
    bert.add_tokens([AddedToken("word", single_word=True), AddedToken("NewTok"), AddedToken("raw Tok", normalized=False)])
    document = json.loads(bert.to_str())
    yield "bert", bert

    def other(normalizer, pre_tokenizer, decoder):
        tokenizer = loaded(document)
        tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre_tokenizer, decoder
        return tokenizer

    cased = N.BertNormalizer(lowercase=False, strip_accents=False, handle_chinese_chars=False)
    yield "bert-cased", other(cased, P.BertPreTokenizer(), D.WordPiece("##", False))
    yield "nfkd", other(N.Sequence([N.NFKD(), N.StripAccents(), N.Lowercase(), N.Strip()]),
                        P.Sequence([P.WhitespaceSplit(), P.Punctuation(), P.Digits(True)]), D.WordPiece())
    yield "nmt", other(N.Sequence([N.Nmt(), N.NFKC()]),
                       P.Sequence([P.WhitespaceSplit(), P.Punctuation("contiguous"), P.Digits(False)]), None)
    yield "delimiter", other(N.NFD(), P.Sequence([P.CharDelimiterSplit("e"), P.Whitespace()]), D.CTC("<pad>", "o", True))
    level = Tokenizer(models.WordLevel(unk_token="<unk>"))
    level.pre_tokenizer = P.Whitespace()
    level.train_from_iterator(corpus, trainers.WordLevelTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False))
    yield "words", level


def byte_level(corpus):
    base = Tokenizer(models.BPE())
    base.pre_tokenizer, base.decoder = P.ByteLevel(add_prefix_space=False), D.ByteLevel()
    document = trained(base, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False,
                                                 initial_alphabet=P.ByteLevel.alphabet()), corpus)

    def other(*steps):
        tokenizer = loaded(document)
        tokenizer.pre_tokenizer = P.Sequence(list(steps) + [P.ByteLevel(add_prefix_space=False, use_regex=False)])
        return tokenizer

    for name, patterns in SPLITS.items():
        yield name, other(*(P.Split(Regex(pattern), "isolated") for pattern in patterns))
    for behavior in ["removed", "merged_with_previous", "merged_with_next", "contiguous"]:
        yield behavior, other(P.Split(Regex(r"[aeiou ]|\d"), behavior, invert=behavior == "contiguous"))
    fixed = loaded(document)
    fixed.pre_tokenizer = P.Sequence([P.FixedLength(5), P.ByteLevel(add_prefix_space=True)])
    yield "fixed-length", fixed
    composed = loaded(document)
    composed.normalizer = N.NFC()
    template = R.TemplateProcessing("<s> $A", "<s> $A <s> $B:1", [("<s>", 1)])
    composed.post_processor = R.Sequence([R.ByteLevel(trim_offsets=False), template])
    yield "nfc", composed
    roberta = loaded(document)
    roberta.pre_tokenizer = P.ByteLevel(add_prefix_space=True)
    roberta.post_processor = R.RobertaProcessing(("</s>", 2), ("<s>", 1))
    roberta.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    yield "roberta", roberta


def sentence_pieces(corpus, folder, **settings):
    model = io.BytesIO()
    rules = pathlib.Path(folder) / "rules.tsv"  # a small character map: ligatures, circled digits, odd spaces, é composed
    rules.write_text("FB01\t66 69\n2460\t31\n3000\t20\nA0\t20\nD A\t20\nA\t20\n9\t20\n65 301\tE9\n338F\t6B 67\nFEFF\t\n41\t61\n")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.replace("\n", " ") for text in corpus), model_writer=model, character_coverage=0.98,
        minloglevel=2, user_defined_symbols=["<tool>", "user piece"], normalization_rule_tsv=str(rules), **settings)
    return model.getvalue()


def unigrams(model):
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    t5 = Tokenizer(models.Unigram(pieces, 0, False))
    t5.normalizer = N.Sequence([N.Precompiled(bytes(proto.normalizer_spec.precompiled_charsmap)), N.Replace(Regex(" {2,}"), " ")])
    t5.pre_tokenizer, t5.decoder = P.Metaspace(), D.Metaspace()
    t5.post_processor = R.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 2)])
    t5.add_special_tokens(["<s>", "</s>", "<unk>"])
    yield "t5", t5
    byte = Tokenizer(models.Unigram(pieces + [(byte, -20.0) for byte in BYTES], 0, True))
    byte.pre_tokenizer = P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="always")])
    byte.decoder = D.Sequence([D.ByteFallback(), D.Metaspace()])
    yield "unigram-bytes", byte


def everything(dice):
    corpus = PROSE * 6 + ["".join(dice.choice(BITS) for _ in range(12)) for _ in range(150)]
    with tempfile.TemporaryDirectory() as folder:
        unigram = sentence_pieces(corpus, folder, vocab_size=420, hard_vocab_limit=False, model_type="unigram")
        pair = sentence_pieces(corpus, folder, vocab_size=700, model_type="bpe", byte_fallback=True)
    cases = {}
    for part in [pairs(corpus), words(corpus), byte_level(corpus), unigrams(unigram)]:
        cases.update(part)
    return cases, {"unigram.model": unigram, "pairs.model": pair}


def punctuation():
    """Ranges of what `tokenizers` cuts off as punctuation, from one to the other."""
    cut = pre_tokenizers.Punctuation()
    found = [value for value in range(0x110000)
             if not 0xD800 <= value < 0xE000 and len(cut.pre_tokenize_str(f"a{chr(value)}a")) > 1]
    ranges = []
    for value in found:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    return ranges


def write(out):
    dice = random.Random(7)
    cases, pieces = everything(dice)
    texts = PROSE + [draw(dice) for _ in range(24)]
    # Text of every kind, bytes that are not UTF-8, for SentencePiece: one U+FFFD a byte.
    broken = [bytes([0x61, 0xE4, 0xB8, 0x20, 0xFF, 0xC3]), bytes([0xF0, 0x9F, 0xA6, 0x41, 0x80])]
    document = {"punctuation": punctuation(), "texts": texts, "broken": [list(text) for text in broken], "cases": []}
    for name, tokenizer in cases.items():
        encoded = [tokenizer.encode(text).ids for text in texts]
        pair = tokenizer.encode("hello there", "the word")
        tokenizer.encode_special_tokens = True
        case = {
            "name": name, "tokenizer": tokenizer.to_str(), "tokens": encoded,
            "plain": [tokenizer.encode(text, add_special_tokens=False).ids for text in texts],
            "broken": [tokenizer.encode(text.decode(errors="replace"), add_special_tokens=False).ids for text in broken],
            "decoded": [tokenizer.decode(ids, skip_special_tokens=False) for ids in encoded],
            "skipped": [tokenizer.decode(ids) for ids in encoded], "pair": pair.ids, "types": pair.type_ids,
        }
        # What is missing in the file equals what it is a variant of.
        for part, base in [("plain", "tokens"), ("skipped", "decoded"), ("decoded", None)]:
            if base and case.get(base) == case[part] or not base and case[part] == texts:
                del case[part]
        document["cases"].append(case)
    for name, model in pieces.items():
        (out / name).write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        encoded = [processor.encode(text) for text in texts]
        document["cases"].append({
            "name": name, "plain": encoded, "skipped": [processor.decode(ids) for ids in encoded],
            "broken": [processor.encode(text) for text in broken],
        })
    (out / "tokenizer-parts.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def anything(dice):
    """A text of any scalars at all, assigned or not."""
    scalars = (dice.choice([dice.randrange(0x20, 0x3000), dice.randrange(0x110000)]) for _ in range(dice.randint(1, 30)))
    return "".join(chr(scalar) for scalar in scalars if not 0xD800 <= scalar < 0xE000)


class Ours:
    def __init__(self, program, path):
        self.program, self.path = program, path

    def lines(self, part, values, *flags):
        """What our program prints for each of the values, as JSON lines."""
        command = [self.program, "tokenize", part, "--tokenizer", str(self.path), "--json", *flags]
        text = "".join(json.dumps(value) + "\n" for value in values)
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tokens(self, data):
        """The tokens of any bytes."""
        command = [self.program, "tokenize", "encode", "--tokenizer", str(self.path)]
        return [int(word) for word in subprocess.run(command, input=data, capture_output=True, check=True).stdout.split()]


def checks(ours, peer, texts, broken):
    """Pairs of a name and, for each text or bytes: the text, ours, the peer's."""
    if isinstance(peer, sentencepiece.SentencePieceProcessor):
        expected = [peer.encode(text) for text in texts]
        yield "encode", zip(texts, ours.lines("encode", texts), expected)
        yield "decode", zip(expected, ours.lines("decode", expected, "--skip-specials"), map(peer.decode, expected))
        yield "bytes", ((data, ours.tokens(data), peer.encode(data)) for data in broken)
        return
    peer.encode_special_tokens = True
    plain = [peer.encode(text, add_special_tokens=False).ids for text in texts]
    yield "encode", zip(texts, ours.lines("encode", texts), plain)
    peer.encode_special_tokens = False
    special = [peer.encode(text).ids for text in texts]
    yield "with special tokens", zip(texts, ours.lines("encode", texts, "--specials"), special)
    for name, skips, flags in [("decode", False, []), ("decode without special tokens", True, ["--skip-specials"])]:
        decoded = [peer.decode(ids, skip_special_tokens=skips) for ids in special]
        yield name, zip(special, ours.lines("decode", special, *flags), decoded)
    dice = random.Random(5)
    size = peer.get_vocab_size()
    noise = [[dice.randrange(size) for _ in range(dice.randint(1, 20))] for _ in texts]
    yield "decode of random tokens", zip(noise, ours.lines("decode", noise), [peer.decode(ids, False) for ids in noise])
    peer.encode_special_tokens = True
    yield "bytes", ((data, ours.tokens(data), peer.encode(data.decode(errors="replace"), add_special_tokens=False).ids)
                    for data in broken)


def compare(count, program, vocabularies):
    seed = random.Random().randrange(1 << 32)
    dice = random.Random(seed)
    cases, pieces = everything(random.Random(7))
    texts = [draw(dice) if dice.random() < 0.7 else anything(dice) for _ in range(count)]
    words = ["a" * 1_000_000, "abé中\u0301" * 100_000, "".join(dice.choice("abcdefgh") for _ in range(300_000))]
    broken = [bytes(dice.choice([dice.randrange(256), 0x61, 0xE4, 0xB8, 0xF0]) for _ in range(dice.randint(1, 30)))
              for _ in range(20)]
    compared = differing = 0
    with tempfile.TemporaryDirectory() as folder:
        sides = [(name, pathlib.Path(folder) / (name if name in pieces else name + ".json"), peer)
                 for name, peer in {**cases, **pieces}.items()]
        for name, path, peer in sides:
            path.write_bytes(peer if name in pieces else peer.to_str().encode())
        sides += [(path, pathlib.Path(path), None) for path in vocabularies]
        for name, path, _ in sides:
            if path.suffix == ".model":
                peer = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
            else:
                peer = Tokenizer.from_file(str(path))
            for what, results in checks(Ours(program, path), peer, texts, broken):
                for given, ours, expected in results:
                    compared += 1
                    if ours != expected:
                        differing += 1
                        print(f"{name}, {what}: {given!r}\n  ours {ours!r}\n  peer {expected!r}")
            # A word of a million letters takes the peers minutes where they are quadratic.
            begin = time.perf_counter()
            ours = Ours(program, path).lines("encode", words)
            seconds = time.perf_counter() - begin
            if seconds > 5 or not all(ours):
                differing += 1
                print(f"{name}: long words took {seconds:.1f} s and gave {[len(ids) for ids in ours]} tokens")
    print(f"seed {seed}: {differing} of {compared} results differ")


if sys.argv[1] == "--compare":
    compare(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
else:
    write(pathlib.Path(sys.argv[1]))
