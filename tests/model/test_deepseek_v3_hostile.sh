#!/usr/bin/env bash
# Checkpoints, prompts and options that are wrong: examples/deepseek_v3.lua names what and where, ends with status 2 and writes nothing.
set -uo pipefail
source "$(dirname "$0")/model.sh"
good=$golden/f32
tokens=$good/tokens.npy

# refused TEXT ARGUMENTS…
refused() {
  local want=$1 status
  shift
  checks=$((checks + 1))
  run "$@" >"$dir/out"
  status=$?
  [ $status = 2 ] || failed "status $status, not 2: $* ($(cat "$dir/err"))"
  grep -q '^tegula: error: ' "$dir/err" && grep -qF -- "$want" "$dir/err" || failed "lacks '$want': $(grep -v 'note:' "$dir/err")"
  ! compgen -G "$dir/never*.npy" >/dev/null || { failed "wrote a file: $*"; rm "$dir"/never*.npy; }
}
# field SED-EXPRESSION TEXT: config.json changed
field() {
  rm -rf "$dir/m"
  mkdir "$dir/m"
  ln -s "$good/model.safetensors" "$dir/m/model.safetensors"
  sed -E "$1" "$good/config.json" >"$dir/m/config.json"
  cmp -s "$good/config.json" "$dir/m/config.json" && failed "sed $1 changed nothing"
  refused "$2" "$dir/m" --tokens "$tokens" --logits "$dir/never.npy"
}
# set NAME VALUE TEXT: a field with another value
set_field() { field "s/(\"$1\": )[^,]*/\\1$2/" "$3"; }
# tensor ACTION NAME TEXT: a tensor of $good changed
tensor() {
  rm -rf "$dir/m"
  mkdir "$dir/m"
  cp "$good/config.json" "$dir/m"
  "$build/tegula" run "$here/change.lua" "$good" "$dir/m" "$1" "$2" || failed "change.lua $1 $2"
  refused "$3" "$dir/m" --tokens "$tokens" --logits "$dir/never.npy" --mtp "$dir/never_mtp.npy"
}

for name in hidden_size num_hidden_layers num_attention_heads kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim vocab_size \
  n_routed_experts num_experts_per_tok n_group topk_group first_k_dense_replace max_position_embeddings moe_intermediate_size intermediate_size \
  n_shared_experts routed_scaling_factor; do
  field "s/\"$name\": /\"no_$name\": /" "config.json: lacks $name"
done
set_field n_group 5 "n_group is 5, it must divide n_routed_experts 12"
set_field topk_group 4 "topk_group is 4, more than n_group 3"
set_field num_experts_per_tok 9 "num_experts_per_tok is 9, but topk_group groups hold 8 experts"
set_field num_experts_per_tok 0 "num_experts_per_tok is 0"
set_field qk_rope_head_dim 15 "qk_rope_head_dim is 15, it must be even"
set_field hidden_size -96 "hidden_size is -96"
set_field hidden_size 1e300 "hidden_size is"
set_field hidden_size 96.5 "hidden_size is 96.5, it must be a whole number"
set_field hidden_size '"96"' "hidden_size is 96, it must be a number"
set_field hidden_size '{}' "hidden_size is an object or a list, it must be a number"
set_field tie_word_embeddings 1 "tie_word_embeddings is 1, it must be true or false"
set_field hidden_size 97 "is [528, 96]; config.json makes it [528, 97]"
set_field vocab_size 152 "is [151, 96]; config.json makes it [152, 96]"
set_field num_hidden_layers 1 "num_hidden_layers is 1 and num_nextn_predict_layers 1, but"
set_field num_hidden_layers 9 "is missing; config.json calls for it"
set_field first_k_dense_replace 2 "model.layers.1.mlp.gate_proj.weight"
set_field num_attention_heads 3 "num_key_value_heads is 2 and num_attention_heads 3"
set_field kv_lora_rank 511 "config.json makes it [527, 96]"
set_field q_lora_rank 64 "the tensor model.layers.0.self_attn.q_a_proj.weight [64, 96] is missing"
set_field n_shared_experts 0 "model.layers.1.mlp.shared_experts.down_proj.weight is there, but n_shared_experts of config.json is 0"
set_field n_shared_experts 1 "shared_experts.gate_proj.weight is [32, 96]; config.json makes it [16, 96]"
set_field n_routed_experts 15 "is [12, 96]; config.json makes it [15, 96]"
set_field moe_intermediate_size 16777216 "gate_proj.weight is [16, 96]; config.json makes it [16777216, 96]"
set_field intermediate_size 16777216 "gate_proj.weight is [144, 96]; config.json makes it [16777216, 96]"
set_field v_head_dim 65536 "is [96, 48]; config.json makes it [96, 131072]"
set_field max_position_embeddings 20 "tokens.npy holds 58 tokens, more than max_position_embeddings 20"
set_field rms_norm_eps '"small"' "rms_norm_eps is small, it must be a number"
set_field hidden_act '"gelu"' "hidden_act is gelu; only silu can be run"
set_field norm_topk_prob false "norm_topk_prob is false; only true can be run"
set_field attention_bias true "attention_bias is true; only false can be run"
set_field rope_interleave false "rope_interleave is false; only true can be run"
set_field model_type '"llama"' "model_type is llama; deepseek_v3 can be run"
set_field rope_parameters 7 "config.json"
set_field rope_theta 0 "rope_theta is 0"
field 's/"rope_type": "default"/"rope_type": "llama3"/' "rope_parameters.rope_type is llama3; default and yarn can be run"
field 's/"rope_type": "default"/"rope_type": "yarn"/' "rope_parameters: lacks factor"
field 's/"use_cache": true/"quantization_config": {"quant_method": "awq"}, "use_cache": true/' "quantization_config.quant_method is awq"
field 's/"use_cache": true/"quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 64]}, "use_cache": true/' "must be [128, 128]"
field '1s/.*/[/' "malformed JSON"

tensor drop model.norm.weight "the tensor model.norm.weight [96] is missing"
tensor drop lm_head.weight "the tensor lm_head.weight [151, 96] is missing"
tensor drop model.layers.1.mlp.experts.7.up_proj.weight "model.layers.1.mlp.experts.7.up_proj.weight [16, 96] is missing"
tensor drop model.layers.1.mlp.gate.e_score_correction_bias "e_score_correction_bias [12] is missing"
tensor drop model.layers.2.eh_proj.weight "model.layers.2.eh_proj.weight [96, 192] is missing"
tensor grow model.layers.0.self_attn.kv_b_proj.weight "config.json makes it"
tensor flatten model.layers.0.self_attn.o_proj.weight "config.json makes it"
tensor flatten model.layers.1.mlp.gate.weight "model.safetensors: the tensor model.layers.1.mlp.gate.weight is [1152]"
tensor i32 model.embed_tokens.weight "is stored as I32; it can be read from bf16, f32"
tensor f16 model.layers.0.mlp.down_proj.weight "is stored as F16; it can be read from bf16, f32, e4m3"
tensor spare model.layers.0.self_attn.o_proj.weight "model.layers.0.self_attn.o_proj.bias is a bias"
tensor e4m3 model.layers.0.mlp.down_proj.weight "model.layers.0.mlp.down_proj.weight_scale_inv"

good=$golden/fp8
tokens=$good/tokens.npy
scales=model.layers.2.mlp.experts.5.down_proj.weight_scale_inv
tensor drop $scales "the tensor $scales [2, 1] is missing"
tensor grow $scales "the tensor $scales is [3, 1]; the weight with blocks of 128x128 makes it [2, 1]"
tensor bf16 $scales "the tensor $scales is stored as BF16; it can be read from f32"
good=$golden/f32
tokens=$good/tokens.npy
rm -rf "$dir/m" && mkdir "$dir/m" && cp "$good/config.json" "$dir/m"
"$build/tegula" run "$here/change.lua" "$good" "$dir/m" fuse model.layers.1.mlp.experts.0.up_proj.weight || failed "change.lua fuse"
refused "experts in one tensor can be run with --activations bf16 or f32" "$dir/m" --tokens "$tokens" --activations fp8

# files
refused "config.json" "$dir/nowhere" --tokens "$tokens"
rm -rf "$dir/m" && mkdir "$dir/m" && cp "$good/config.json" "$dir/m"
refused "$dir/m" "$dir/m" --tokens "$tokens"
head -c 100000 "$good/model.safetensors" >"$dir/m/model.safetensors"
refused "model.safetensors" "$dir/m" --tokens "$tokens"
rm -rf "$dir/m" && mkdir "$dir/m" && cp "$golden"/bf16/*.json "$golden"/bf16/model-0000[12]* "$dir/m"
refused "model-00003-of-00003.safetensors" "$dir/m" --tokens "$tokens"

# prompts
cat >"$dir/make.lua" <<'L'
local tg <const> = require "tegula"
local dtype, shape, values = arg[1], {}, {}
for n in arg[2]:gmatch "%d+" do shape[#shape + 1] = math.tointeger(n) end
for n in arg[3]:gmatch "%-?%d+" do values[#values + 1] = math.tointeger(n) end
tg.tensor(dtype, shape, values):write(arg[4])
L
prompt() { # dtype shape values text
  "$build/tegula" run "$dir/make.lua" "$1" "$2" "$3" "$dir/p.npy" || failed "make.lua $*"
  refused "$4" "$good" --tokens "$dir/p.npy" --logits "$dir/never.npy"
}
prompt i64 3 "1 2 151" "token 2 is 151; the vocabulary has 0 to 150"
prompt i32 2 "-1 2" "token 0 is -1"
prompt i64 0 "" "holds no token"
prompt f32 2 "1 2" "holds f32; tokens are i64 or i32"
prompt i64 2,2 "1 2 3 4" "has the shape [2,2]"
"$build/tegula" run "$dir/make.lua" i64 1 5 "$dir/p.npy"
refused "--mtp needs two tokens or more" "$good" --tokens "$dir/p.npy" --mtp "$dir/never.npy"
refused "--tokens" "$good" --tokens "$good/config.json"
refused "pass max_position_embeddings 640" "$good" --tokens "$tokens" --greedy 583

# options
refused "which checkpoint" --greedy 2
refused "a second directory" "$good" "$good"
refused "no option --wide" "$good" --wide
refused "--greedy 0: it must be a whole number" "$good" --greedy 0
refused "--greedy needs a value" "$good" --greedy
refused "--greedy is given twice" "$good" --greedy 1 --greedy 2
refused "--activations int4: it is one of bf16, f32, fp8" "$good" --activations int4
refused "--draft mtp needs --greedy N" "$good" --draft mtp
refused "--threads -1" "$good" --threads -1
refused "--layers needs two files" "$good" --layers "$good/layers_in.npy"
refused "it must be f32 [2,T,96]" "$good" --layers "$good/logits.npy" "$dir/never.npy"
sed -E 's/("num_nextn_predict_layers": )1/\10/' "$good/config.json" >"$dir/none.json"
rm -rf "$dir/m" && mkdir "$dir/m" && cp "$dir/none.json" "$dir/m/config.json" && cp "$good/model.safetensors" "$dir/m"
refused "num_nextn_predict_layers is 0" "$dir/m" --tokens "$tokens" --greedy 2 --draft mtp
sed -E 's/("num_hidden_layers": )3/\12/' "$golden/bf16/config.json" >"$dir/short.json"
rm -rf "$dir/m" && mkdir "$dir/m" && "$build/tegula" run "$here/change.lua" "$golden/bf16" "$dir/m" only 3 || failed "change.lua only"
cp "$dir/short.json" "$dir/m/config.json"
refused "num_hidden_layers is 2 and num_nextn_predict_layers 1, but" "$dir/m" --tokens "$tokens" --greedy 2
never=$dir/never.npy
refused "both write $never" "$good" --tokens "$tokens" --logits "$never" --mtp "$never"
refused "both write $never" "$good" --tokens "$tokens" --layers "$good/layers_in.npy" "$never" --mtp "$never"
refused "both write $never" "$good" --tokens "$tokens" --logits "$never" --layers "$good/layers_in.npy" "$never"

# what is no wrong call: an output that cannot be written is failed work
checks=$((checks + 1))
run "$good" --tokens "$tokens" --logits "$dir/nowhere/l.npy" >/dev/null
[ $? = 1 ] && grep -q "nowhere" "$dir/err" || failed "an output that cannot be written: $(cat "$dir/err")"
run --help | grep -q '^usage: tegula run examples/deepseek_v3.lua DIR' || failed "--help"
finish
