#!/usr/bin/env bash
# The example scripts, run as a user runs them: they end well and say what their first lines promise.
set -euo pipefail
build=$1
examples=$(cd "$(dirname "$0")/../../examples" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export TEGULA_CACHE=$dir/cache
failed=0

says() { # text, output
  grep -qF -- "$1" <<<"$2" || { printf 'lacks: %s\nin:\n%s\n' "$1" "$2" >&2; failed=1; }
}
run() { "$build/tegula" run "$examples/$@" 2>&1; }
refused() { # text, arguments
  local want=$1 out status=0
  shift
  out=$(run "$@") || status=$?
  [ $status = 2 ] || { printf 'status %s, not 2: %s\n' "$status" "$*" >&2; failed=1; }
  says "$want" "$out"
}

# KV memory: DeepSeek-V3 keeps 576 values, 1,152 bytes, a token and layer
out=$(run mla_memory.lua)
says "DeepSeek-V3: 61 layers, 128 heads, 2 bytes a value, 163,840 tokens" "$out"
says "MLA*          576         1,152        70,272     10.72 GiB    1.00x  latent + rope = 512 + 64" "$out"
says "MHA        40,960        81,920     4,997,120     762.5 GiB   71.11x  heads x (key + value) = 128 x (192 + 128)" "$out"
says "MQA           320           640        39,040     5.957 GiB    0.56x  key + value = 192 + 128" "$out"
cat >"$dir/llama.json" <<'J'
{"model_type": "llama", "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096,
 "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "rope_scaling": null, "tie_word_embeddings": false}
J
out=$(run mla_memory.lua "$dir/llama.json" --length 1000)
says "GQA*        2,048         4,096       131,072       125 MiB    3.56x  groups x (key + value) = 8 x (128 + 128)" "$out"
says "MLA's row takes DeepSeek's latent" "$out"
out=$(run mla_memory.lua "$dir/llama.json" --bytes 1)
says "GQA*        2,048         2,048        65,536       512 MiB" "$out"
echo '{"num_hidden_layers": 2, "num_attention_heads": 0}' >"$dir/zero.json"
refused "num_attention_heads is 0" mla_memory.lua "$dir/zero.json"
echo '{"num_hidden_layers": 2.5}' >"$dir/half.json"
refused "num_hidden_layers is 2.5" mla_memory.lua "$dir/half.json"
echo '{"num_hidden_layers": 2' >"$dir/cut.json"
refused "malformed JSON at line 1" mla_memory.lua "$dir/cut.json"
echo '{}' >"$dir/empty.json"
refused "lacks num_hidden_layers" mla_memory.lua "$dir/empty.json"
refused "usage" mla_memory.lua --width 3

# Expert loads: a made-up router, and a router's own choices
out=$(run expert_load.lua)
says "4096 choices of 256 experts, 0 dropped: 16.0 each on average" "$out"
says "hierarchical, 8 groups, 288 replicas" "$out"
cat >"$dir/ids.lua" <<'L'
local tg = require "tegula"
tg.tensor(tg.i32, { 2, 4 }, { 0, 1, 2, 0, 0, 3, -1, 0 }):write(arg[1])
L
"$build/tegula" run "$dir/ids.lua" "$dir/ids.npy"
out=$(run expert_load.lua "$dir/ids.npy" 4 6 2 2 2)
says "8 choices of 4 experts, 1 dropped: 1.8 each on average, most 4 (expert 0), 0 idle, most / average 2.29" "$out"
says "in order, one of each                     5.0           1.429" "$out"
refused "holds the expert 3; there are 0 to 2" expert_load.lua "$dir/ids.npy" 3 6 1 1 1
refused "5 replicas are not a multiple of 2 devices" expert_load.lua "$dir/ids.npy" 4 5 1 1 2

# Pipelines: each holds its result against double precision itself
out=$(run fp8_linear.lua)
says "against the product in f32:" "$out"
says "2  gemm_fp8       gemm_fp8" "$out"
out=$(run mla_decode_step.lua)
says "70 steps, the worst row is off by 0." "$out"
out=$(run moe_layer.lua)
says "8 of 8 tokens against double precision without quantising" "$out"
says "planned for" "$out"
says "GFLOP/s over operations a byte" "$out"
out=$(run moe_layer.lua --experts 64 --tokens 5 --topk 6 --threads 2)
says "64 experts, the best 6 of 8 groups of 4; hidden 256, intermediate 128, 5 tokens" "$out"
run moe_layer.lua --tokens 0 >/dev/null
refused "hidden and inter are multiples of 128" moe_layer.lua --hidden 100
refused "the 20 best of 16 experts cannot be chosen" moe_layer.lua --topk 20
refused "usage: moe_layer.lua" moe_layer.lua --layers 2

run first_kernel.lua >/dev/null

# Gradients that lead downhill: the script checks that its loss falls and its rewards rise
says "both learn" "$(run training.lua)"
exit $failed
