#!/usr/bin/env bash
# label: long
# The mistakes that are made with this model, one at a time in a copy of the script: each must break the bound of bf16 activations, or that of the
# MTP logits. A test that these pass proves nothing.
set -uo pipefail
source "$(dirname "$0")/model.sh"
export TEGULA_ROOT=$dir/root

# mistake NAME FOLDER FILE PATTERN REPLACEMENT: literal texts; the pattern must be there
mistake() {
  local name=$1 folder=$golden/$2 file=$dir/root/$3
  rm -rf "$dir/root"
  mkdir "$dir/root"
  cp -r "$root/examples" "$root/kernels" "$dir/root"
  for other in "$root"/*; do [ -e "$dir/root/$(basename "$other")" ] || ln -s "$other" "$dir/root"; done
  grep -qF -- "$4" "$file" || { failed "$name: $3 has no '$4'"; return; }
  FROM=$4 TO=$5 perl -0pi -e 's/\Q$ENV{FROM}\E/$ENV{TO}/g' "$file"
  checks=$((checks + 1))
  "$build/tegula" run "$dir/root/examples/deepseek_v3.lua" "$folder" --tokens "$folder/tokens.npy" --logits "$dir/logits.npy" --mtp "$dir/mtp.npy" \
    >/dev/null 2>"$dir/err" || { failed "$name does not run: $(cat "$dir/err")"; return; }
  local said mtp
  said=$("$build/tegula" run "$here/compare.lua" "$dir/logits.npy" "$folder/logits.npy" 9 9)
  mtp=$("$build/tegula" run "$here/compare.lua" "$dir/mtp.npy" "$folder/mtp.npy" 9 9)
  echo "$name: logits $said; MTP $mtp"
  if "$build/tegula" run "$here/compare.lua" "$dir/logits.npy" "$folder/logits.npy" 0.015 0.6 >/dev/null 2>&1 &&
    "$build/tegula" run "$here/compare.lua" "$dir/mtp.npy" "$folder/mtp.npy" 0.015 0.6 >/dev/null 2>&1; then
    failed "$name passes"
  fi
}

layer=examples/deepseek_v3/layer.lua
mistake "biased scores as weights" bf16 kernels/moe_gate.lua ':reshape(bt, topk))
    idx' ':reshape(bt, topk)) + bias[{chosen:reshape(bt * topk)}]:reshape(bt, topk)
    idx'
mistake "no group limit" bf16 $layer "topk_groups = c.topk_group" "topk_groups = c.n_group"
mistake "bias ignored" bf16 kernels/moe_gate.lua " + bias[{e}]" ""
mistake "scaling factor dropped" bf16 $layer "scale = c.routed_scaling_factor" "scale = 1"
mistake "half-split rope" bf16 kernels/rope.lua 'local x, y = halves(from[{t, n, i}])
      to[{t, n, i}] = joined(x * c - y * s, x * s + y * c)' 'local upper_half, out = X:slice(3, D // 2, D // 2), O:slice(3, D // 2, D // 2)
      local x, y = X[{t, n, i}]:to(f32), upper_half[{t, n, i}]:to(f32)
      O[{t, n, i}] = (x * c - y * s):to(dtype)
      out[{t, n, i}] = (x * s + y * c):to(dtype)'
mistake "mscale missing" bf16 examples/deepseek_v3/config.lua " * softmax" ""
mistake "scale of the latent's width" bf16 examples/deepseek_v3/config.lua "(c.qk_nope_head_dim + c.qk_rope_head_dim) ^ -0.5" "(c.kv_lora_rank + c.qk_rope_head_dim) ^ -0.5"
mistake "scales read column by column" fp8 examples/deepseek_v3/weights.lua "local q, s = self:codes(name, n, k)
    return" "local q, s = self:codes(name, n, k)
    local rows, columns, read = s.shape[1], s.shape[2], s:copy()
    for r = 0, rows - 1 do
      for c = 0, columns - 1 do s:set(r, c, read:get((c * rows + r) // columns, (c * rows + r) % columns)) end
    end
    return"
mistake "no YaRN" bf16 examples/deepseek_v3/config.lua 'if kind == "default"' 'if kind'
mistake "gate and up swapped" bf16 examples/deepseek_v3/weights.lua '{ { base .. "gate_proj.weight", i }, { base .. "up_proj.weight", i } }' '{ { base .. "up_proj.weight", i }, { base .. "gate_proj.weight", i } }'
mistake "no shared expert" bf16 $layer "if l.shared then" "if false then"
mistake "latent cached before its norm" bf16 $layer 'local latent = self:norm("kv norm", kva.P:view(T, D), a.kv_norm, LATENT_EPS)' 'local latent = kva.P:view(T, D)'
mistake "hidden state first in eh_proj" bf16 examples/deepseek_v3/model.lua "{ Emb = e, Hid = p:input" "{ Hid = e, Emb = p:input"
mistake "MTP's embedding of the token itself" bf16 examples/deepseek_v3.lua "table.move(tokens, 2, #tokens, 1, {})" "table.move(tokens, 1, #tokens - 1, 1, {})"
finish
