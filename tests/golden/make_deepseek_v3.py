#!/usr/bin/env python3
"""Tiny DeepSeek-V3 checkpoints with random weights, and what transformers' DeepseekV3ForCausalLM makes of them: tests/golden/deepseek_v3/.

    python3 -m venv .venv && .venv/bin/pip install -r requirements-model.txt && .venv/bin/python make_deepseek_v3.py [DIRECTORY [SEED]]

With a directory the variants of the long test are made there, from another seed. Each folder holds config.json, the weights, tokens.npy [T], and
the reference in float32 with eager attention: logits.npy [T,V], greedy.npy [16], drafts.npy [15] (what the MTP layer says after
each of those tokens), mtp.npy [T-1,V], layers_in.npy and layers_out.npy [L,T,H], and
reference.json, what was measured on the way. The weights are rounded to what the files hold before the reference sees them, so nothing of a
quantisation is in it. The MTP layer is transformers' own MtpLayer; it is written under the checkpoint's names, as layer num_hidden_layers.
"""
import json, os, shutil, sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.modeling_layers import MtpLayer
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as reference

HERE = os.path.dirname(os.path.abspath(__file__))
YARN = {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 16, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0,
        "mscale_all_dim": 1.0, "rope_theta": 10000.0}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
SMALL = dict(hidden_size=256, intermediate_size=144, moe_intermediate_size=16, num_hidden_layers=3, first_k_dense_replace=1, num_attention_heads=4,
             num_key_value_heads=4, q_lora_rank=96, kv_lora_rank=128, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=24, n_routed_experts=16,
             n_shared_experts=1, num_experts_per_tok=4, n_group=4, topk_group=2, routed_scaling_factor=2.5, vocab_size=151, max_position_embeddings=640,
             num_nextn_predict_layers=1, rope_parameters=PLAIN)
# stored, how the folder is laid out, what differs from SMALL. "transformers": as save_pretrained writes; "deepseek": the released checkpoint's names.
COMMITTED = {
    "bf16": ("bf16", "transformers", True, dict(rope_parameters=YARN)),
    "f32": ("f32", "transformers", False, dict(hidden_size=96, num_hidden_layers=2, q_lora_rank=None, kv_lora_rank=512, n_routed_experts=12,
                                               n_group=3, n_shared_experts=2, num_attention_heads=2,
                                               num_key_value_heads=2)),
    "fp8": ("fp8", "deepseek", True, dict(hidden_size=192, intermediate_size=200, moe_intermediate_size=24, kv_lora_rank=512, n_group=2, topk_group=1,
                                          num_experts_per_tok=3)),
}
LONG = {
    "bf16-plain-512": ("bf16", "deepseek", False, dict(kv_lora_rank=512)),
    "f32-yarn-128": ("f32", "transformers", True, dict(rope_parameters=YARN)),
    "f32-plain-128": ("f32", "deepseek", False, dict(first_k_dense_replace=0, n_group=1, topk_group=1, rms_norm_eps=1e-3)),
    "fp8-yarn-128": ("fp8", "deepseek", False, dict(rope_parameters=YARN, moe_intermediate_size=128)),
    "fp8-plain-512": ("fp8", "deepseek", True, dict(kv_lora_rank=512, q_lora_rank=None, n_shared_experts=2)),
    "bf16-yarn-512": ("bf16", "transformers", True, dict(rope_parameters=YARN, kv_lora_rank=512, num_attention_heads=8, num_key_value_heads=8)),
    # the released model's heads and groups, and no block of 128 cut short
    "fp8-heads": ("fp8", "deepseek", True, dict(rope_parameters=YARN, hidden_size=512, intermediate_size=384, moe_intermediate_size=128, q_lora_rank=256,
                                                kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, n_routed_experts=32, n_group=8,
                                                topk_group=4, num_experts_per_tok=8, num_hidden_layers=2)),
}
MARGIN = 0.06  # between the two best logits, of the row's rms
PROMPT, NEW = 58, 16  # together more than one page of the cache
FP8 = ("q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "gate_up_proj")


def fill(module, rng):
    """Weights at which every part matters: attention far from uniform, router scores that spread, a bias that changes the choice."""
    def normal(shape, deviation): return torch.from_numpy(rng.standard_normal(tuple(shape)).astype(np.float32) * np.float32(deviation))
    for name, p in module.named_parameters():
        if "norm" in name: value = 1 + normal(p.shape, 0.2)
        elif "embed" in name: value = normal(p.shape, 1.6)
        elif name.endswith("mlp.gate.weight"): value = normal(p.shape, 1.5 * p.shape[-1] ** -0.5)
        elif "q_b_proj" in name or "q_proj" in name or "kv_b_proj" in name: value = normal(p.shape, p.shape[-1] ** -0.5)
        elif "down_proj" in name: value = normal(p.shape, 0.6 * p.shape[-1] ** -0.5)
        else: value = normal(p.shape, p.shape[-1] ** -0.5)
        p.data.copy_(value)
    for name, b in module.named_buffers():
        if name.endswith("e_score_correction_bias"): b.copy_(normal(b.shape, 0.3))


def quantize(w, rng):
    """[..., N, K] to e4m3 codes and a scale for each block of 128x128; blocks differ in size, as a scale read from a wrong block must show."""
    n, k = w.shape[-2:]
    rows, columns = -(-n // 128), -(-k // 128)
    padded = torch.zeros(*w.shape[:-2], rows * 128, columns * 128)
    padded[..., :n, :k] = w
    blocks = padded.reshape(*w.shape[:-2], rows, 128, columns, 128)
    factor = torch.from_numpy(rng.uniform(0.4, 1.6, (*w.shape[:-2], rows, 1, columns, 1)).astype(np.float32))
    blocks = blocks * factor
    scale = blocks.abs().amax((-3, -1), keepdim=True) / 448
    codes = (blocks / scale).to(torch.float8_e4m3fn)
    whole = (codes.float() * scale).reshape(padded.shape)[..., :n, :k].contiguous()
    return codes.reshape(padded.shape)[..., :n, :k].contiguous(), scale.reshape(*w.shape[:-2], rows, columns), whole


def round_weights(module, stored, rng):
    """Rounds the parameters to what the file will hold; codes and scales of those that are stored as FP8, by name."""
    kept = {}
    for name, p in module.named_parameters():
        if stored == "fp8" and any(part in FP8 for part in name.split(".")):
            if name.endswith("gate_up_proj"):  # stored as two
                half = p.shape[1] // 2
                gate, up = quantize(p.data[:, :half], rng), quantize(p.data[:, half:], rng)
                kept[name] = (gate, up)
                p.data.copy_(torch.cat([gate[2], up[2]], 1))
            else:
                kept[name] = quantize(p.data, rng)
                p.data.copy_(kept[name][2])
        elif stored != "f32": p.data.copy_(p.data.bfloat16().float())
    return kept


def by_expert(name, value, kept, stored):
    """A parameter under the released checkpoint's names: (name, tensor) pairs."""
    def codes(out, quantized, e=None):
        q, s = (quantized[0], quantized[1]) if e is None else (quantized[0][e], quantized[1][e])
        return [(out, q.clone()), (out + "_scale_inv", s.clone())]
    kind = torch.float32 if stored == "f32" or name.endswith("e_score_correction_bias") else torch.bfloat16
    if ".mlp.experts." not in name:
        return codes(name, kept[name]) if name in kept else [(name, value.to(kind).clone())]
    pairs, base = [], name.rsplit(".", 1)[0]
    for e in range(value.shape[0]):
        half = value.shape[1] // 2
        parts = [("down_proj", value[e])] if name.endswith("down_proj") else [("gate_proj", value[e, :half]), ("up_proj", value[e, half:])]
        for i, (part, tensor) in enumerate(parts):
            out = f"{base}.{e}.{part}.weight"
            if name in kept: pairs += codes(out, kept[name] if part == "down_proj" else kept[name][i], e)
            else: pairs.append((out, tensor.to(kind).clone()))
    return pairs


def mtp_tensors(mtp, model, n, kept, stored, layout):
    """The MTP layer as layer n; with copies of the model's embedding and head where the released checkpoint has them."""
    tensors = {}
    for name, value in list(mtp.named_parameters()) + [b for b in mtp.named_buffers() if b[0].endswith("correction_bias")]:
        for out, tensor in by_expert(name, value.data, kept, stored):
            out = out.replace("mtp_block.", "").replace("post_norm.", "shared_head.norm.")
            tensors[f"model.layers.{n}.{out}"] = tensor
    kind = torch.float32 if stored == "f32" else torch.bfloat16
    if layout == "transformers": return tensors  # its own MtpModel takes the model's embedding and head
    tensors[f"model.layers.{n}.embed_tokens.weight"] = model.model.embed_tokens.weight.data.to(kind).clone()
    tensors[f"model.layers.{n}.shared_head.head.weight"] = model.lm_head.weight.data.to(kind).clone()
    return tensors


def write_weights(folder, model, mtp, kept, kept_mtp, stored, layout, sharded):
    n = model.config.num_hidden_layers
    if layout == "transformers":
        kind = torch.bfloat16 if stored == "bf16" else torch.float32
        copy = DeepseekV3ForCausalLM(model.config).to(kind)
        for m in copy.modules():  # stays f32, as from_pretrained keeps it
            if hasattr(m, "e_score_correction_bias"): m.e_score_correction_bias = m.e_score_correction_bias.float()
        copy.load_state_dict(model.state_dict())
        copy.save_pretrained(folder)  # config.json and model.safetensors, under the names that transformers chooses
        tensors = load_file(os.path.join(folder, "model.safetensors"))
    else:
        model.config.save_pretrained(folder)
        tensors = {}
        for name, value in list(model.named_parameters()) + [b for b in model.named_buffers() if b[0].endswith("correction_bias")]:
            tensors.update(by_expert(name, value.data, kept, stored))
    for extra in ("generation_config.json", "model.safetensors"):
        if os.path.exists(os.path.join(folder, extra)): os.remove(os.path.join(folder, extra))
    tensors.update(mtp_tensors(mtp, model, n, kept_mtp, stored, layout))
    config = json.load(open(os.path.join(folder, "config.json")))
    config["dtype"] = "float32" if stored == "f32" else "bfloat16"
    if stored == "fp8":
        config["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}
    if layout == "deepseek":  # the released config.json's names
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope.pop("rope_type") == "default" else {"type": "yarn", **rope}
        config["torch_dtype"] = config.pop("dtype")
    json.dump(config, open(os.path.join(folder, "config.json"), "w"), indent=1, sort_keys=True)
    if not sharded:
        save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        return
    names, shards = sorted(tensors), 3
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        save_file(part, os.path.join(folder, file), {"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, open(os.path.join(folder, "model.safetensors.index.json"), "w"), indent=0)


@torch.no_grad()
def run_reference(model, mtp, tokens):
    """Logits, layer inputs and outputs, MTP logits."""
    inputs, outputs = [], []
    hooks = [layer.register_forward_hook(lambda m, a, kw, out: (inputs.append((a[0] if a else kw["hidden_states"])[0]), outputs.append(out[0])) and None,
                                         with_kwargs=True) for layer in model.model.layers]
    hidden = model.model(input_ids=tokens[None], use_cache=False).last_hidden_state
    for h in hooks: h.remove()
    logits = model.lm_head(hidden)[0]
    position = torch.arange(len(tokens) - 1)[None]
    embeds = model.model.embed_tokens(tokens[None, 1:])
    n = len(tokens) - 1
    mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
    x = mtp(embeds, hidden[:, :-1], model.model.rotary_emb(embeds, position), mask, position, None)
    return logits, torch.stack(inputs), torch.stack(outputs), model.lm_head(x)[0]


@torch.no_grad()
def greedy(model, tokens):
    """NEW tokens, each from a full recompute, and the smallest margin between the two best logits, in units of the row's rms."""
    tokens, margin = tokens.clone(), np.inf
    for _ in range(NEW):
        row = model(input_ids=tokens[None], use_cache=False).logits[0, -1]
        two = row.topk(2).values
        margin = min(margin, ((two[0] - two[1]) / row.square().mean().sqrt()).item())
        if margin < MARGIN: break
        tokens = torch.cat([tokens, row.argmax()[None]])
    return tokens[-NEW:], margin


@torch.no_grad()
def bf16_rows(folder, tokens, logits):
    """How far transformers' own bf16 run of the files is from the reference: median and worst row."""
    model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager").eval()
    error = model(input_ids=tokens[None], use_cache=False).logits[0].float() - logits
    rows = (error.square().sum(-1) / logits.square().sum(-1)).sqrt()
    return [round(rows.median().item(), 4), round(rows.max().item(), 4)]


def make(folder, seed, stored, layout, sharded, changes):
    """Takes the first seed from `seed` on at which the text hangs on no near tie: bf16 may decide such a one the other way."""
    while not attempt(folder, seed, stored, layout, sharded, changes): seed += 1000


def attempt(folder, seed, stored, layout, sharded, changes):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    rng = np.random.default_rng(seed)
    config = DeepseekV3Config(**{**SMALL, **changes, "bos_token_id": 0, "eos_token_id": 1})
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = DeepseekV3ForCausalLM(config).eval()
    block = config.get_mtp_config()
    block._attn_implementation = block._experts_implementation = "eager"
    mtp = MtpLayer(block, reference.DeepseekV3DecoderLayer, reference.DeepseekV3RMSNorm, 0).eval()
    fill(model, rng), fill(mtp, rng)
    kept, kept_mtp = round_weights(model, stored, rng), round_weights(mtp, stored, rng)
    tokens = torch.from_numpy(rng.integers(0, config.vocab_size, PROMPT))
    text, margin = greedy(model, tokens)
    if margin < MARGIN: return False
    write_weights(folder, model, mtp, kept, kept_mtp, stored, layout, sharded)
    logits, inputs, outputs, mtp_logits = run_reference(model, mtp, tokens)
    drafts = run_reference(model, mtp, torch.cat([tokens, text]))[3][PROMPT - 1 : PROMPT + NEW - 2].argmax(-1)
    for name, a in dict(tokens=tokens, logits=logits, greedy=text, drafts=drafts, mtp=mtp_logits, layers_in=inputs, layers_out=outputs).items():
        np.save(os.path.join(folder, name + ".npy"), a.detach().numpy().astype(np.int64 if a.dtype == torch.int64 else np.float32))
    notes = {"seed": seed, "greedy_margin": round(margin, 4), "torch": torch.__version__.split("+")[0]}
    if stored == "bf16" and layout == "transformers": notes["bf16_rows"] = bf16_rows(folder, tokens, logits)
    json.dump(notes, open(os.path.join(folder, "reference.json"), "w"))
    print(f"{os.path.basename(folder)}: logits rms {logits.square().mean().sqrt():.3f}, smallest greedy margin {margin:.3f}, "
          f"last layer's rms {outputs[-1].square().mean().sqrt():.2f}, {sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)) / 1e6:.2f} MB")
    return True


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        for i, (name, variant) in enumerate(LONG.items()): make(os.path.join(sys.argv[1], name), int(sys.argv[2] if len(sys.argv) > 2 else 1) * 100 + i, *variant)
    else:
        for i, (name, variant) in enumerate(COMMITTED.items()): make(os.path.join(HERE, "deepseek_v3", name), 20261201 + i, *variant)
