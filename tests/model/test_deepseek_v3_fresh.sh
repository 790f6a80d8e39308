#!/usr/bin/env bash
# label: long
# Fresh checkpoints from another seed, in the combinations that tests/golden/ does not hold, against transformers. Needs a Python with the packages of
# tests/golden/requirements-model.txt: TEGULA_PYTHON, tests/golden/.venv or python3; without one it says so and passes.
set -uo pipefail
source "$(dirname "$0")/model.sh"
for python in "${TEGULA_PYTHON-}" "$root/tests/golden/.venv/bin/python" python3; do
  [ -n "$python" ] && "$python" -c "import torch, transformers.models.deepseek_v3, transformers.modeling_layers as m, safetensors; m.MtpLayer" 2>/dev/null && break
  python=
done
if [ -z "$python" ]; then
  echo "skipped: no Python with torch, transformers and safetensors; tests/golden/make_deepseek_v3.py says how to get them"
  exit 0
fi
seed=${2:-336} # a second argument tries another
HF_HUB_OFFLINE=1 nice "$python" "$root/tests/golden/make_deepseek_v3.py" "$dir/fresh" "$seed" 2>"$dir/python" || { failed "$(tail -5 "$dir/python")"; finish; }
verbose=1
for folder in "$dir"/fresh/*; do
  whole "$folder" f32 1e-5 2e-5
  layers "$folder" f32 1e-5 1e-5
  whole "$folder" f32 1e-5 2e-5 --attention absorbed --draft mtp
  # the MTP layer begins with what the model's rounding left, and f32 weights are rounded too
  mtp_median=0.025 whole "$folder" bf16 0.015 1
  mtp_median=0.025 whole "$folder" bf16 0.015 1 --attention absorbed --draft mtp
  layers "$folder" bf16 0.01 0.6
  layers "$folder" fp8 0.05 0.6
done
finish
