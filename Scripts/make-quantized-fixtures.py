#!/usr/bin/env python3
"""Writes Tests/QuantizationTests/Fixtures/checkpoints: one small random Llama, quantised by each method whose files are
read, and small mixtures of experts in FP8, with checksums of the matrices that the method's own formula gives and the logits
of a model with those matrices.

compressed-tensors and bitsandbytes compute themselves; GPTQ, AWQ and DeepSeek's FP8 are written down from their formulas.
Needs torch, transformers, compressed-tensors, bitsandbytes and safetensors (2.13, 5.23, 0.20, 0.50 and 0.8 wrote the files
that are checked in).
"""
import json
import pathlib
import re
import tempfile
import zlib

import bitsandbytes.functional as bnb
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = pathlib.Path(__file__).parent.parent / "Tests/QuantizationTests/Fixtures/checkpoints"
random = torch.Generator().manual_seed(20261122)
CONFIG = dict(
    hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
    vocab_size=32, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
    attention_bias=False, mlp_bias=False, hidden_act="silu", model_type="llama", eos_token_id=0,
)
MIXTURE = {key: value for key, value in CONFIG.items() if key != "mlp_bias"} | dict(
    num_experts_per_tok=2, moe_intermediate_size=32, tie_word_embeddings=False)
QWEN3_MOE = MIXTURE | dict(model_type="qwen3_moe", num_experts=4, norm_topk_prob=True, decoder_sparse_step=1)
DEEPSEEK = {key: value for key, value in MIXTURE.items() if key != "head_dim"} | dict(
    model_type="deepseek_v3", n_routed_experts=4, n_shared_experts=1, first_k_dense_replace=0, q_lora_rank=32,
    kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=32, v_head_dim=32, num_key_value_heads=2, n_group=2,
    topk_group=1, routed_scaling_factor=2.5, scoring_func="sigmoid", topk_method="noaux_tc", norm_topk_prob=True)
TOKENS = torch.tensor([[1, 30, 7, 7, 22, 15, 3, 9]])


def tensors_of(config):
    """The tensors of a random model, as files hold them."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).float().eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.15, generator=random)
        if parameter.ndim == 1:
            parameter.data += 1
        parameter.data = parameter.data.half().float()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(folder + "/model.safetensors")


def logits_of(config, tensors):
    with tempfile.TemporaryDirectory() as folder:
        save_file(tensors, folder + "/model.safetensors", metadata={"format": "pt"})
        pathlib.Path(folder + "/config.json").write_text(json.dumps(config))
        model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
        with torch.no_grad():
            return model.eval()(TOKENS).logits[0].tolist()


def signed(words):
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def packed(codes, bits):
    """[lines, n] of codes to [lines, n * bits / 32] of words, the first code lowest."""
    per = 32 // bits
    shifts = torch.arange(per, dtype=torch.int64) * bits
    return signed((codes.long().reshape(codes.shape[0], -1, per) << shifts).sum(-1))


def grouped(weight, bits, group, symmetric, index=None, half=True):
    """Codes, scales and zeros [rows, groups] of a round to nearest, and what they stand for."""
    rows, columns = weight.shape
    index = torch.arange(columns) // group if index is None else index
    groups = int(index.max()) + 1
    low, high = torch.zeros(rows, groups), torch.zeros(rows, groups)
    for g in range(groups):
        part = weight[:, index == g]
        low[:, g], high[:, g] = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
    most = 2**bits - 1
    if symmetric:
        scale, zero = (torch.maximum(-low, high) * 2 / most), torch.full((rows, groups), 2 ** (bits - 1))
    else:
        scale, zero = (high - low) / most, None
    scale = scale.half().float()
    zero = torch.round(-low / scale).clamp(0, most).long() if zero is None else zero.long()
    codes = (torch.round(weight / scale[:, index]) + zero[:, index]).clamp(0, most).long()
    return codes, scale, zero, scale[:, index] * (codes - zero[:, index]).float()


def gptq(bits, group, symmetric, ordered, version):
    def convert(name, weight):
        columns = weight.shape[1]
        size = columns if group == -1 else group
        index = torch.arange(columns) // size
        if ordered:
            index = index[torch.randperm(columns, generator=random)]
        codes, scale, zero, value = grouped(weight, bits, size, symmetric, index)
        stored = zero - 1 if version == 1 else zero
        if version == 1 and not symmetric:  # a zero of 0 cannot be written
            zero = zero.clamp(min=1)
            stored = zero - 1
            value = scale[:, index] * (codes - zero[:, index]).float()
        return {
            name + ".qweight": packed(codes, bits).T.contiguous(),
            name + ".qzeros": packed(stored.T, bits),
            name + ".scales": scale.T.half().contiguous(),
            name + ".g_idx": index.to(torch.int32),
        }, value

    settings = dict(
        quant_method="gptq", bits=bits, group_size=group, sym=symmetric, desc_act=ordered,
        checkpoint_format="gptq" if version == 1 else "gptq_v2")
    return settings, convert


def awq():
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])

    def pack(codes):
        return packed(codes.reshape(codes.shape[0], -1, 8)[:, :, order].reshape(codes.shape), 4)

    def convert(name, weight):
        codes, scale, zero, value = grouped(weight, 4, 32, False)
        return {
            name + ".qweight": pack(codes.T), name + ".qzeros": pack(zero.T), name + ".scales": scale.T.half().contiguous(),
        }, value

    return dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm"), convert


def compressed(form, ordered=False, **arguments):
    args = QuantizationArgs(**arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)

    def convert(name, weight):
        columns = weight.shape[1]
        group = args.group_size or columns
        if args.type == "float":
            scale, zero = (weight.abs().amax(1, keepdim=True) / 448).bfloat16().float(), None
            codes = (weight / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
            return {name + ".weight": codes, name + ".weight_scale": scale.bfloat16()}, codes.float() * scale
        if ordered:  # (actorder "group"), which compressed-tensors itself no longer writes
            index = (torch.arange(columns) // group)[torch.randperm(columns, generator=random)]
            codes, scale, zero, value = grouped(weight, args.num_bits, group, args.symmetric, index)
            return {
                name + ".weight_packed": packed(codes, args.num_bits), name + ".weight_scale": scale.half(),
                name + ".weight_zero_point": packed(zero.T, args.num_bits).T.contiguous(),
                name + ".weight_shape": torch.tensor(weight.shape), name + ".weight_g_idx": index.to(torch.int32),
            }, value
        _, scale, zero, _ = grouped(weight, args.num_bits, group, args.symmetric)
        scale = scale.bfloat16().float()
        zero = (zero - 2 ** (args.num_bits - 1)).to(torch.int8)
        if form == "int-quantized":
            codes = quantize(weight, scale, zero, args, dtype=torch.int8)
            value = dequantize(codes, scale, zero, args)
            tensors = {name + ".weight": codes, name + ".weight_scale": scale.bfloat16()}
            return tensors | ({} if args.symmetric else {name + ".weight_zero_point": zero}), value
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
        state = PackedQuantizationCompressor.compress(state, scheme)
        value = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
        state["weight_scale"] = state["weight_scale"].bfloat16()
        return {f"{name}.{key}": tensor.contiguous() for key, tensor in state.items()}, value

    settings = dict(
        quant_method="compressed-tensors", format=form, quantization_status="compressed", ignore=["lm_head"],
        config_groups={"group_0": {"targets": ["Linear"], "weights": json.loads(args.model_dump_json())}})
    return settings, convert


def mxfp4():
    """A power of two for each 32 elements; the first of two neighbours is in the lower half of a byte."""
    levels = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])

    def convert(name, weight):
        blocks = weight.reshape(weight.shape[0], -1, 32)
        exponent = torch.floor(torch.log2(blocks.abs().amax(-1))) - 2
        scale = torch.exp2(exponent)[..., None]
        codes = (blocks[..., None] / scale[..., None] - levels).abs().argmin(-1)
        packed_codes = codes[..., ::2] | codes[..., 1::2] << 4
        return {
            name + ".weight_packed": packed_codes.to(torch.uint8).reshape(weight.shape[0], -1).contiguous(),
            name + ".weight_scale": (exponent + 127).to(torch.uint8),
        }, (levels[codes] * scale).reshape(weight.shape)

    weights = dict(num_bits=4, type="float", symmetric=True, strategy="group", group_size=32)
    return dict(
        quant_method="compressed-tensors", format="mxfp4-pack-quantized", quantization_status="compressed",
        ignore=["lm_head"], config_groups={"group_0": {"targets": ["Linear"], "weights": weights}}), convert


def nf4(double):
    def convert(name, weight):
        codes, state = bnb.quantize_4bit(weight, quant_type="nf4", blocksize=64, compress_statistics=double)
        value = bnb.dequantize_4bit(codes, state)
        tensors = {name + ".weight": codes}
        for key, tensor in state.as_dict(packed=True).items():
            tensors[f"{name}.weight.{key}"] = tensor
        return tensors, value

    return dict(
        quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double), convert


def fp8(height, width):
    def convert(name, weight):
        rows, columns = weight.shape
        grid = torch.zeros(-(-rows // height), -(-columns // width))
        for i in range(grid.shape[0]):
            for j in range(grid.shape[1]):
                grid[i, j] = weight[i * height : (i + 1) * height, j * width : (j + 1) * width].abs().max() / 448
        scale = grid.repeat_interleave(height, 0)[:rows].repeat_interleave(width, 1)[:, :columns]
        codes = (weight / scale).to(torch.float8_e4m3fn)
        return {name + ".weight": codes, name + ".weight_scale_inv": grid}, codes.float() * scale

    return dict(quant_method="fp8", weight_block_size=[height, width], activation_scheme="dynamic"), convert


METHODS = {
    "gptq-4": gptq(4, 32, True, False, 1),
    "gptq-4-asymmetric-v2": gptq(4, -1, False, False, 2),
    "gptq-4-ordered": gptq(4, 32, False, True, 1),
    "gptq-8": gptq(8, 32, False, False, 1),
    "awq": awq(),
    "packed-4": compressed("pack-quantized", num_bits=4, type="int", symmetric=False, strategy="group", group_size=32),
    "packed-8": compressed("pack-quantized", num_bits=8, type="int", symmetric=True, strategy="channel"),
    "int-8": compressed("int-quantized", num_bits=8, type="int", symmetric=True, strategy="channel"),
    "float-8": compressed("float-quantized", num_bits=8, type="float", symmetric=True, strategy="channel"),
    "nf4": nf4(False),
    "nf4-double": nf4(True),
    "fp8-blocks": fp8(48, 64),
    "packed-4-ordered": compressed(
        "pack-quantized", ordered=True, num_bits=4, type="int", symmetric=False, strategy="group", group_size=32),
    "packed-8-asymmetric": compressed(
        "pack-quantized", num_bits=8, type="int", symmetric=False, strategy="group", group_size=64),
    "int-8-asymmetric": compressed("int-quantized", num_bits=8, type="int", symmetric=False, strategy="channel"),
    "mxfp4-packed": mxfp4(),
    "fp8-qwen3-moe": fp8(32, 64),
    "fp8-deepseek-v3": fp8(32, 64),
    "gptq-4-ordered-moe": gptq(4, 32, False, True, 1),
}
CONFIGS = {"fp8-qwen3-moe": QWEN3_MOE, "fp8-deepseek-v3": DEEPSEEK, "gptq-4-ordered-moe": QWEN3_MOE}
DENSE = ["embed_tokens", "lm_head", "mlp.gate.", "correction_bias"]

for label, (settings, convert) in METHODS.items():
    config = CONFIGS.get(label, CONFIG)
    plain = tensors_of(config)
    tensors, values = {}, {}
    for name in list(plain):
        if plain[name].ndim == 1 or any(part in name for part in DENSE):
            tensors[name] = plain[name] if "correction_bias" in name else plain[name].half()
            continue
        added, value = convert(name.removesuffix(".weight"), plain[name])
        tensors |= added
        plain[name] = value.float() + 0.0
        # Experts are one matrix after another.
        values.setdefault(re.sub(r"experts\.\d+", "experts", name), {})[int((re.findall(r"experts\.(\d+)", name) + [0])[0])] = plain[name]
    checksums = {
        name: zlib.crc32(b"".join(parts[index].numpy().tobytes() for index in sorted(parts)))
        for name, parts in values.items()}
    logits = logits_of(config, plain)
    folder = ROOT / label
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}, indent=1) + "\n")
    expected = {"checksums": checksums, "tokens": TOKENS[0].tolist(), "logits": [[round(x, 6) for x in l] for l in logits]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
