#!/usr/bin/env python3
"""Makes Tests/ModelsTests/Fixtures/conversion: a random Llama of Hugging Face and what llama.cpp's converter makes of it.

    pip install torch transformers tokenizers gguf sentencepiece
    python Scripts/make-conversion-fixtures.py path/to/llama.cpp Tests/ModelsTests/Fixtures/conversion
"""
import json
import pathlib
import shutil
import subprocess
import sys

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, trainers

TEXT = "The swift is a fast bird. It sleeps, eats and drinks in flight; the fast bird never lands. " * 4


def tokenizer():
    specials = ["<unk>", "<s>", "</s>"]
    result = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    result.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    result.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    result.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=300, special_tokens=specials + bytes_, show_progress=False))
    parts = json.loads(result.to_str())
    parts["added_tokens"] = parts["added_tokens"][:3]  # bytes are ordinary tokens
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(parts)), unk_token="<unk>", bos_token="<s>",
        eos_token="</s>", chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")


def main():
    llama, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    torch.manual_seed(7)
    vocabulary = tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=304, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=8192))
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(out)
    vocabulary.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    subprocess.run([sys.executable, str(llama / "convert_hf_to_gguf.py"), str(out), "--outtype", "bf16", "--outfile",
                    str(out / "llama-cpp.gguf")], check=True)


main()
