#!/usr/bin/env python3
"""Makes the fixtures of EncoderParityTests: small random encoders and what `transformers` computes with them.

    python3 Scripts/make-encoder-fixtures.py Tests/ModelsTests/Fixtures/encoders
        (needs torch, transformers, safetensors)

For each entry of ENCODERS:
  config.json, model.safetensors   as `save_pretrained` writes them, f32, every parameter random
  expected.safetensors             tokens, types [n] (i32) of texts of `lengths` (i32), one behind another; states
                                   [n, width] (f32); logits (f32) where there is a head: of each text or of each token
"""
import pathlib
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


def main():
    folder = pathlib.Path(sys.argv[1])
    for seed, (name, (kind, settings)) in enumerate(ENCODERS.items()):
        torch.manual_seed(seed)
        kind = getattr(transformers, kind)
        model = kind(kind.config_class(**settings)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                spread = 0.3 if parameter.dim() > 1 else 0.4
                parameter.copy_(torch.randn_like(parameter) * spread + (parameter if parameter.dim() == 1 else 0))
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
