#!/usr/bin/env python3
"""Makes the fixtures of the encoders' tests: small random ones and what `transformers` and sentence-transformers compute.

    python3 Scripts/make-encoder-fixtures.py Tests/ModelsTests/Fixtures
        (needs torch, transformers, sentence-transformers, safetensors)

In encoders/, for each entry of ENCODERS:
  config.json, model.safetensors   as `save_pretrained` writes them, f32, every parameter random
  expected.safetensors             tokens, types [n] (i32) of texts of `lengths` (i32), one behind another; states
                                   [n, width] (f32); logits (f32) where there is a head: of each text or of each token
In embedder/, a model of sentence-transformers with every kind of module, and in reranker/, a cross-encoder: the folders as
they are saved, and expected.json with texts and what comes out.
"""
import json
import os
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

LENGTHS = [1, 5, 12, 37, 3, 24]

BERT = dict(
    vocab_size=90, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
    max_position_embeddings=48, type_vocab_size=2, pad_token_id=0)
MODERN = dict(
    vocab_size=90, hidden_size=24, intermediate_size=20, num_hidden_layers=4, num_attention_heads=2,
    max_position_embeddings=48, local_attention=8, global_attn_every_n_layers=3, pad_token_id=0, bos_token_id=1,
    eos_token_id=2, cls_token_id=1, sep_token_id=2)
LABELS = dict(id2label={0: "no", 1: "maybe", 2: "yes"}, label2id={"no": 0, "maybe": 1, "yes": 2})

ENCODERS = {
    "bert": ("BertModel", {**BERT, "hidden_act": "gelu_new"}),
    "bert-classifier": ("BertForSequenceClassification", {**BERT, **LABELS}),
    "bert-tokens": ("BertForTokenClassification", {**BERT, **LABELS, "hidden_act": "relu"}),
    "bert-masked": ("BertForMaskedLM", BERT),
    "modernbert": ("ModernBertModel", {**MODERN, "norm_bias": True, "attention_bias": True, "mlp_bias": True}),
    "modernbert-classifier": ("ModernBertForSequenceClassification", {
        **MODERN, **LABELS, "classifier_pooling": "mean", "classifier_bias": True}),
    "modernbert-cls": ("ModernBertForSequenceClassification", {
        **MODERN, **LABELS, "classifier_pooling": "cls", "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "modernbert-masked": ("ModernBertForMaskedLM", MODERN),
}


TEXTS = [
    "the cat sleeps on the mat", "Cats, sleeping?", "a", "", "the stock market fell by 12 points today and the cat does "
    "not care about it at all", "Über den Wolken: 猫", "fell the market", "cat cat cat",
]


def tokenizer(folder):
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["the", "cat", "##s", "sleep", "##ing", "on", "mat", "market", "fell", "points", "today", "and", "not"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *",.?[]", *letters, *("##" + c for c in letters), *words]
    vocabulary = list(dict.fromkeys(vocabulary))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=24), len(vocabulary)


def randomise(model):
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.3 if parameter.dim() > 1 else 0.4
            parameter.copy_(torch.randn_like(parameter) * spread + (parameter if parameter.dim() == 1 else 0))


def saved(kind, folder, **settings):
    """A BERT of class `kind` with a tokenizer, in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words, count = tokenizer(folder)
    config = transformers.BertConfig(**{**BERT, "vocab_size": count, "num_hidden_layers": 1, **settings})
    model = getattr(transformers, kind)(config).eval()
    randomise(model)
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def embedder(folder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    torch.manual_seed(50)
    saved("BertModel", folder / "bert")
    dense = modules.Dense(48, 10, activation_function=torch.nn.Tanh())
    randomise(dense)
    model = SentenceTransformer(
        modules=[
            modules.Transformer(str(folder / "bert"), max_seq_length=16),
            modules.Pooling(24, pooling_mode=("max", "mean"), include_prompt=False), dense, modules.Normalize()],
        prompts={"query": "the market: ", "none": ""}, device="cpu")
    shutil.rmtree(folder)
    model.save(str(folder), create_model_card=False)
    tidy(folder)
    vectors = {name: model.encode(TEXTS, prompt_name=name).tolist() for name in ("query", "none")}
    (folder / "expected.json").write_text(json.dumps({"texts": TEXTS, **vectors}))


def reranker(folder):
    from sentence_transformers import CrossEncoder
    torch.manual_seed(51)
    saved("BertForSequenceClassification", folder, num_labels=1)
    model = CrossEncoder(str(folder), device="cpu")
    scores = model.predict([(query, text) for query in TEXTS for text in TEXTS]).tolist()
    (folder / "expected.json").write_text(json.dumps({"texts": TEXTS, "scores": scores}))
    tidy(folder)


def tidy(folder):
    for name in ("README.md", "vocab.txt", "special_tokens_map.json"):
        if (folder / name).exists():
            os.remove(folder / name)


def main():
    embedder(pathlib.Path(sys.argv[1]) / "embedder")
    reranker(pathlib.Path(sys.argv[1]) / "reranker")
    folder = pathlib.Path(sys.argv[1]) / "encoders"
    for seed, (name, (kind, settings)) in enumerate(ENCODERS.items()):
        torch.manual_seed(seed)
        kind = getattr(transformers, kind)
        model = kind(kind.config_class(**settings)).eval()
        randomise(model)
        model.save_pretrained(folder / name)
        base = getattr(model, model.base_model_prefix, model)
        tokens, types, states, logits = [], [], [], []
        for length in LENGTHS:
            text = torch.randint(0, 90, (1, length))
            inputs = {"input_ids": text}
            kinds = (torch.arange(length) >= length // 2).long()[None]
            if "modernbert" not in name:
                inputs["token_type_ids"] = kinds
            with torch.no_grad():
                states.append(base(**inputs).last_hidden_state[0])
                if base is not model:
                    logits.append(model(**inputs).logits[0])
            tokens.append(text[0])
            types.append(kinds[0])
        result = {"lengths": torch.tensor(LENGTHS, dtype=torch.int32), "tokens": torch.cat(tokens).int(),
                  "types": torch.cat(types).int(), "states": torch.cat(states)}
        if logits:
            result["logits"] = torch.stack(logits) if "ForSequence" in kind.__name__ else torch.cat(logits)
        save_file({key: value.contiguous() for key, value in result.items()}, folder / name / "expected.safetensors")


if __name__ == "__main__":
    main()
