#!/usr/bin/env python3
"""Checks that a directory exported by Tachornis means the same to `transformers`.

    python3 Scripts/check-export.py DIR [--logits FILE] [--tolerance 1e-3] [--decompress]    (needs torch, transformers, safetensors)

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
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def pretrained(directory):
    return AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )


def decompressed(directory):
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationScheme

    settings = json.loads((directory / "config.json").read_text())
    group = settings.pop("quantization_config")["config_groups"]["group_0"]
    scheme = QuantizationScheme(**{key: value for key, value in group.items() if value is not None})
    packed = {}
    with safe_open(directory / "model.safetensors", "pt") as stored:
        for key in stored.keys():
            module, name = key.rsplit(".", 1)
            packed.setdefault(module, {})[name] = stored.get_tensor(key)
    weights = {}
    for module, tensors in packed.items():
        if "weight_packed" in tensors:
            tensors = {"weight": PackedQuantizationCompressor.decompress(tensors, scheme)["weight"]}
        weights |= {f"{module}.{name}": value for name, value in tensors.items()}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings)).float()
    loaded = model.load_state_dict(weights, strict=False)
    tied = {"lm_head.weight"} if settings.get("tie_word_embeddings") else set()
    return model, {
        "missing_keys": set(loaded.missing_keys) - tied, "unexpected_keys": loaded.unexpected_keys, "mismatched_keys": [],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--logits", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of |ours - theirs| / max |theirs|")
    parser.add_argument(
        "--decompress", action="store_true",
        help="unpack the weights of a compressed-tensors folder with that package itself: version 0.20 cannot do it inside "
             "transformers 5.23 where weights have zero points")
    arguments = parser.parse_args()
    file = arguments.logits or arguments.directory / "logits.safetensors"
    with safe_open(file, "pt") as stored:
        tokens, ours = stored.get_tensor("tokens").long(), stored.get_tensor("logits").double()
        text = (stored.metadata() or {}).get("text")

    load = decompressed if arguments.decompress else pretrained
    model, loading = load(arguments.directory)
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
