#!/usr/bin/env bash
# examples/deepseek_v3.lua on the committed checkpoints against transformers' DeepseekV3ForCausalLM: logits, MTP logits and greedy text of the whole
# model, and each layer on the reference's own inputs. tests/golden/make_deepseek_v3.py made them; docs/model.md says where the bounds come from.
set -uo pipefail
source "$(dirname "$0")/model.sh"

for folder in "$golden"/*/; do
  folder=${folder%/}
  whole "$folder" f32 1e-5 1e-5
  layers "$folder" f32 1e-5 1e-5
done
whole "$golden/f32" f32 1e-5 1e-5 --attention absorbed --draft mtp
whole "$golden/bf16" bf16 0.015 0.6
whole "$golden/bf16" bf16 0.015 0.6 --attention absorbed --draft mtp
whole "$golden/fp8" bf16 0.015 0.6
layers "$golden/fp8" fp8 0.05 0.6

# what the MTP layer drafts, one row a step, is what the reference's says where it sees the whole text
for folder in "$golden"/*/; do
  what="$(basename "$folder") drafts"
  checks=$((checks + 1))
  out=$(run "$folder" --activations f32 --tokens "$folder/tokens.npy" --greedy 16 --draft mtp) || failed "$what: $(cat "$dir/err")"
  grep -qxF "drafts: 0 of 15 taken: $("$build/tegula" run "$here/numbers.lua" "$folder/drafts.npy")" <<<"$out" || failed "$what: $out"
  text "$out" "$folder"
done
# and where some of them are right, the text stays that of plain decoding, over a page's end too
what="drafts that are taken"
checks=$((checks + 1))
mkdir "$dir/echo"
cp "$golden/f32/config.json" "$dir/echo"
"$build/tegula" run "$here/echo.lua" "$golden/f32" "$dir/echo" || failed "echo.lua"
for mode in f32 bf16 fp8; do
  plain=$(run "$dir/echo" --activations $mode --greedy 70 | grep ^greedy)
  drafted=$(run "$dir/echo" --activations $mode --greedy 70 --draft mtp | grep -v ^"$dir")
  [ "$plain" = "$(grep ^greedy <<<"$drafted")" ] && grep -q "^drafts: 23 of 46 taken" <<<"$drafted" || failed "$what, $mode: $plain, $drafted"
done

# experts in one tensor a layer, and a head that is the embedding
mkdir "$dir/fused" "$dir/copied" "$dir/tied"
cp "$golden"/f32/{config.json,tokens.npy,logits.npy,greedy.npy,mtp.npy} "$dir/fused"
"$build/tegula" run "$here/change.lua" "$golden/f32" "$dir/fused" fuse model.layers.1.mlp.experts.0.up_proj.weight || failed "change.lua fuse"
whole "$dir/fused" f32 1e-5 1e-5
what="a tied head"
cp "$golden/f32/config.json" "$dir/copied"
sed 's/"tie_word_embeddings": false/"tie_word_embeddings": true/' "$golden/f32/config.json" >"$dir/tied/config.json"
"$build/tegula" run "$here/change.lua" "$golden/f32" "$dir/copied" embed lm_head.weight || failed "change.lua embed"
"$build/tegula" run "$here/change.lua" "$golden/f32" "$dir/tied" drop lm_head.weight || failed "change.lua drop"
run "$dir/copied" --activations f32 --tokens "$golden/f32/tokens.npy" --logits "$dir/want.npy" >/dev/null || failed "$(cat "$dir/err")"
run "$dir/tied" --activations f32 --tokens "$golden/f32/tokens.npy" --logits "$dir/logits.npy" >/dev/null || failed "$(cat "$dir/err")"
near "$dir/logits.npy" "$dir/want.npy" 0 0

what="interpreter"
checks=$((checks + 1))
for device in cpu interp; do run "$golden/f32" --greedy 3 --device $device --draft mtp | grep -v ^/ >"$dir/$device"; done
grep -q "^greedy: " "$dir/interp" && cmp -s "$dir/cpu" "$dir/interp" || failed "$what: $(cat "$dir/cpu" "$dir/interp" "$dir/err")"

# norms inside attention keep an eps of 1e-6: under another rms_norm_eps it does not matter there how loud their rows are
what="eps of the norms inside attention"
mkdir "$dir/quiet" "$dir/loud"
for c in quiet loud; do sed 's/"rms_norm_eps": 1e-06/"rms_norm_eps": 0.01/' "$golden/bf16/config.json" >"$dir/$c/config.json"; done
cp "$golden"/bf16/*.safetensors "$golden/bf16/model.safetensors.index.json" "$dir/quiet"
"$build/tegula" run "$here/change.lua" "$golden/bf16" "$dir/loud" loud - || failed "change.lua loud"
run "$dir/quiet" --activations f32 --tokens "$golden/bf16/tokens.npy" --logits "$dir/want.npy" >/dev/null || failed "$(cat "$dir/err")"
run "$dir/loud" --activations f32 --tokens "$golden/bf16/tokens.npy" --logits "$dir/logits.npy" >/dev/null || failed "$(cat "$dir/err")"
near "$dir/logits.npy" "$dir/want.npy" 1e-5 5e-5

what="report"
checks=$((checks + 1))
out=$(run "$golden/f32" --greedy 3 --report) || failed "$what: $(cat "$dir/err")"
grep -q "^pipeline 'expanded 1' on cpu" <<<"$out" && grep -q "^pipeline 'step 1' on cpu" <<<"$out" && grep -q "layer 1 experts down  *grouped_gemm_bf16" <<<"$out" ||
  failed "$what: $out"

# the text is what a full recompute gives: prompt and text in one prefill
what="full recompute"
checks=$((checks + 1))
"$build/tegula" run "$here/recompute.lua" prepare "$golden/bf16/tokens.npy" "$golden/bf16/greedy.npy" "$dir/both.npy"
run "$golden/bf16" --tokens "$dir/both.npy" --logits "$dir/logits.npy" >/dev/null || failed "$(cat "$dir/err")"
"$build/tegula" run "$here/recompute.lua" check "$golden/bf16/tokens.npy" "$golden/bf16/greedy.npy" "$dir/logits.npy" || failed "$what"
finish
