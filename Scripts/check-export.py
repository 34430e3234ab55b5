#!/usr/bin/env python3
"""Checks that a directory exported by Tachornis means the same to `transformers`.

    python3 Scripts/check-export.py DIR [--logits FILE] [--tolerance 1e-3]    (needs torch, transformers, safetensors)

DIR holds config.json, the weights and (unless tokens are characters) tokenizer.json. FILE, by default
DIR/logits.safetensors, holds what we computed: tokens [batch, length] (any integer type), logits [batch, length,
vocabulary] (any float type), and, in its metadata, optionally `text`, whose encoding must be the first row of tokens.
Prints one JSON object; the exit status is 0 if everything agrees.
"""
import argparse
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--logits", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of |ours - theirs| / max |theirs|")
    arguments = parser.parse_args()
    file = arguments.logits or arguments.directory / "logits.safetensors"
    with safe_open(file, "pt") as stored:
        tokens, ours = stored.get_tensor("tokens").long(), stored.get_tensor("logits").double()
        text = (stored.metadata() or {}).get("text")

    model, loading = AutoModelForCausalLM.from_pretrained(
        arguments.directory, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    result = {
        "model": type(model).__name__, "parameters": model.num_parameters(), "tokens": tokens.numel(),
        "missing": sorted(loading["missing_keys"]), "unexpected": sorted(loading["unexpected_keys"]),
        "mismatched": sorted(str(key) for key in loading["mismatched_keys"]),
    }
    with torch.no_grad():
        theirs = model.eval()(tokens, use_cache=False).logits.double()
    agree = not (result["missing"] or result["unexpected"] or result["mismatched"])
    if ours.shape != theirs.shape:
        result["shapes"] = {"ours": list(ours.shape), "theirs": list(theirs.shape)}
        agree = False
    else:
        result["error"] = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        result["sameArgMax"] = (ours.argmax(-1) == theirs.argmax(-1)).double().mean().item()
        agree = agree and result["error"] <= arguments.tolerance
    if text is not None:
        tokenizer = AutoTokenizer.from_pretrained(arguments.directory, local_files_only=True)
        encoded = tokenizer.encode(text, add_special_tokens=False)
        result["sameTokens"] = encoded == tokens[0].tolist()
        result["sameText"] = tokenizer.decode(encoded, clean_up_tokenization_spaces=False) == text
        agree = agree and result["sameTokens"] and result["sameText"]
    result["agree"] = agree
    print(json.dumps(result, indent=2))
    sys.exit(0 if agree else 1)


main()
