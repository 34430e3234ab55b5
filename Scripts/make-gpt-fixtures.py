#!/usr/bin/env python3
"""Makes the fixtures that Tests/ModelsTests compares against: what PyTorch computes for two small models.

    python3 Scripts/make-gpt-fixtures.py Tests/ModelsTests/Fixtures        (needs torch, transformers, safetensors)

For each of gpt2/ and qwen3/:
  config.json, model.safetensors   the model as `transformers` writes it, f32
  step.safetensors                 one step in f32: tokens, targets [3, 32] (i32), logits, loss [1], gradient_norm [1]
                                   (before clipping), and gradient.<name> for every parameter
  step64.safetensors               the same logits, loss and gradients with all arithmetic in f64
  run.safetensors                  100 steps of AdamW from the same weights: tokens, targets [100, 3, 32] (i32), losses
                                   and gradient_norms [100] in f32 (losses64, gradient_norms64 in f64)
  run.json                         the optimizer's settings, in words and numbers

The loss is the mean cross-entropy over all positions. The f64 Qwen3 is written out below, because `transformers`
computes its norms, softmax and rotary tables in f32 whatever the weights are; it is checked against `transformers` when
it runs.
"""
import copy
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, Qwen3Config, Qwen3ForCausalLM

VOCABULARY, POSITIONS, BATCH, STEPS = 97, 32, 3, 100
RATE, BETAS, EPSILON, DECAY, CLIP = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def sequences(count, generator):
    """Learnable tokens: each follows its predecessor by a fixed rule and one of three small jumps."""
    rows = [torch.randint(VOCABULARY, (count,), generator=generator)]
    for _ in range(POSITIONS):
        jump = torch.randint(3, (count,), generator=generator)
        rows.append((5 * rows[-1] + 7 + jump) % VOCABULARY)
    both = torch.stack(rows, dim=1)
    return both[:, :-1].contiguous(), both[:, 1:].contiguous()


def randomize(model, generator):
    """Weights without symmetry: biases and norms too, so that a forgotten one shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.1 * noise)


def qwen3_in_double(config, weights, tokens):
    """Qwen3's logits in the weights' own type."""

    def norm(x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps) * weights[name]

    batch, length = tokens.shape
    heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    theta = config.rope_parameters["rope_theta"]
    frequency = theta ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * torch.cat([frequency, frequency])
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]

    def rotate(x):
        low, high = x.chunk(2, dim=-1)
        return x * cosine + torch.cat([-high, low], dim=-1) * sine

    seen = torch.ones(length, length, dtype=torch.bool).tril()
    x = F.embedding(tokens, weights["model.embed_tokens.weight"])
    for layer in range(config.num_hidden_layers):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = (
            F.linear(h, weights[f"{at}self_attn.{part}_proj.weight"]).view(batch, length, -1, size) for part in "qkv"
        )
        q = rotate(norm(q, at + "self_attn.q_norm.weight"))
        k = rotate(norm(k, at + "self_attn.k_norm.weight")).repeat_interleave(heads // groups, dim=2)
        v = v.repeat_interleave(heads // groups, dim=2)
        scores = torch.einsum("bthd,bshd->bhts", q, k) * size**-0.5
        attended = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        mixed = torch.einsum("bhts,bshd->bthd", attended, v).reshape(batch, length, heads * size)
        x = x + F.linear(mixed, weights[at + "self_attn.o_proj.weight"])
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = (F.linear(h, weights[f"{at}mlp.{part}_proj.weight"]) for part in ("gate", "up"))
        x = x + F.linear(F.silu(gate) * up, weights[at + "mlp.down_proj.weight"])
    return F.linear(norm(x, "model.norm.weight"), weights["lm_head.weight"])


def step(model, logits_of, tokens, targets):
    """Logits, loss and gradients of one batch."""
    model.zero_grad(set_to_none=True)
    logits = logits_of(model, tokens)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    return logits.detach(), loss.detach()


def norm_of(model):
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])


def train(model, logits_of, tokens, targets):
    """Losses and gradient norms (before clipping) of AdamW over the batches, in order."""
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": DECAY},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=RATE, betas=BETAS, eps=EPSILON, foreach=False,
    )
    losses, norms = [], []
    for batch in range(STEPS):
        _, loss = step(model, logits_of, tokens[batch], targets[batch])
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, CLIP))
        losses.append(loss)
        optimizer.step()
    return torch.stack(losses), torch.stack(norms)


def write(folder, model, logits_of, logits_of_double, generator):
    folder.mkdir(parents=True, exist_ok=True)
    randomize(model, generator)
    model.eval()  # dropout is 0; eval says so twice
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokens, targets = sequences(BATCH, generator)
    run_tokens, run_targets = (t.view(STEPS, BATCH, POSITIONS) for t in sequences(STEPS * BATCH, generator))
    double = copy.deepcopy(model).double()

    logits, loss = step(model, logits_of, tokens, targets)
    logits64, loss64 = step(double, logits_of_double, tokens, targets)
    gradients = {n: p.grad for n, p in model.named_parameters()}
    gradients64 = {n: p.grad for n, p in double.named_parameters()}
    for name, gradient in gradients64.items():
        error = (gradients[name] - gradient).norm() / gradient.norm()
        assert error < 1e-5, f"{name}: the gradients in f32 and f64 differ by {error:.1e}"
    assert (logits - logits64).abs().max() < 1e-4, "the logits in f32 and f64 differ"

    def as_i32(tensor):
        return tensor.to(torch.int32).contiguous()

    def contiguous(tensors):
        return {n: t.contiguous() for n, t in tensors.items()}

    save_file(contiguous({
        "tokens": as_i32(tokens), "targets": as_i32(targets), "logits": logits, "loss": loss[None],
        "gradient_norm": norm_of(model)[None], **{"gradient." + n: g for n, g in gradients.items()},
    }), folder / "step.safetensors")
    save_file(contiguous({
        "logits": logits64, "loss": loss64[None], "gradient_norm": norm_of(double)[None],
        **{"gradient." + n: g for n, g in gradients64.items()},
    }), folder / "step64.safetensors")

    losses, norms = train(model, logits_of, run_tokens, run_targets)
    losses64, norms64 = train(double, logits_of_double, run_tokens, run_targets)
    save_file({
        "tokens": as_i32(run_tokens), "targets": as_i32(run_targets), "losses": losses, "gradient_norms": norms,
        "losses64": losses64, "gradient_norms64": norms64,
    }, folder / "run.safetensors")
    (folder / "run.json").write_text(json.dumps({
        "optimizer": "AdamW", "learningRate": RATE, "beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON,
        "weightDecay": DECAY, "decayed": "parameters of two or more dimensions, embeddings included",
        "clip": CLIP, "clipping": "all gradients times min(1, clip / (norm + 1e-6))", "steps": STEPS,
        "torch": torch.__version__.split("+")[0],
    }, indent=2) + "\n")
    print(f"{folder.name}: step {loss64.item():.9f}; run {losses[0]:.4f} -> {losses[-1]:.4f}, "
          f"f32 against f64 within {(losses - losses64).abs().max():.1e}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    def hugging_face(model, tokens):
        return model(tokens, use_cache=False).logits

    gpt2 = GPT2LMHeadModel(GPT2Config(
        vocab_size=VOCABULARY, n_positions=POSITIONS, n_embd=48, n_layer=2, n_head=3, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    ))
    write(root / "gpt2", gpt2, hugging_face, hugging_face, torch.Generator().manual_seed(1))

    configuration = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=POSITIONS, rms_norm_eps=1e-6,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )

    def double(model, tokens):
        return qwen3_in_double(model.config, dict(model.named_parameters()), tokens)

    write(root / "qwen3", Qwen3ForCausalLM(configuration), hugging_face, double, torch.Generator().manual_seed(2))


main()
