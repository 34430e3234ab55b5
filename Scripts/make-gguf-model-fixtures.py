#!/usr/bin/env python3
"""Makes GGUF files of the small checkpoints of make-family-fixtures.py with llama.cpp's own converter.

    python3 Scripts/make-gguf-model-fixtures.py <llama.cpp> Tests/ModelsTests/Fixtures/families <output> [name ...]
        (needs a checkout of llama.cpp; torch, transformers, safetensors, numpy)

Writes <output>/<name>.gguf, f32, for each of the named families (or all that llama.cpp's converter takes). The checkpoints
have no tokenizer: the files get one of letters, which nothing here reads.
"""
import json
import pathlib
import shutil
import sys
import tempfile

NAMES = ["gpt2", "llama", "llama-yarn", "mistral", "qwen2", "qwen3", "gemma2", "gemma3-text", "phi3"]


def converter(checkout):
    sys.path[:0] = [str(checkout / "gguf-py"), str(checkout)]
    import gguf
    from conversion import base, get_model_class

    def set_vocab(self):
        count = self.hparams["vocab_size"]
        self.gguf_writer.add_tokenizer_model("llama")
        self.gguf_writer.add_tokenizer_pre("default")
        self.gguf_writer.add_token_list([f"<{i}>" for i in range(count)])
        self.gguf_writer.add_token_scores([0.0] * count)
        self.gguf_writer.add_token_types([gguf.TokenType.NORMAL] * count)
        self.gguf_writer.add_bos_token_id(1)
        self.gguf_writer.add_eos_token_id(2)

    def convert(folder, output):
        hparams = base.ModelBase.load_hparams(folder, False)
        architecture = hparams["architectures"][0]
        model_class = get_model_class(architecture)
        model_class.set_vocab = set_vocab
        model_class(folder, gguf.LlamaFileType.ALL_F32, output).write()

    return convert


def main():
    checkout, fixtures, output = (pathlib.Path(argument) for argument in sys.argv[1:4])
    convert = converter(checkout)
    output.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[4:] or NAMES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary) / name
            shutil.copytree(fixtures / name, folder)
            config = json.loads((folder / "config.json").read_text())
            # What the converter asks for beside the settings.
            config.setdefault("n_ctx", config.get("n_positions", 0))
            (folder / "config.json").write_text(json.dumps(config))
            vocabulary = {f"<{i}>": i for i in range(config["vocab_size"])}
            (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
            convert(folder, output / f"{name}.gguf")
        print(name, (output / f"{name}.gguf").stat().st_size // 1000, "KB")


if __name__ == "__main__":
    main()
