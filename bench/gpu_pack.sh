#!/usr/bin/env bash
# Makes a directory that checks and times the library on GPUs where there is no compiler: the command, the library's text, and its kernels
# compiled to PTX. usage: gpu_pack.sh BUILD DIRECTORY [--targets nvptx:sm_XX,…] [--kernels K,…] [--quick]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
die() { echo "gpu: error: $*" >&2 && exit 2; }
build=$1 dir=${2:?gpu --pack takes a directory}
shift 2
# What is packed is what the sources say now: the command, and the helper that compiles the kernels.
cmake --build "$build" --target tegula_cli tegula_worker tegula_portable >&2 || die "$build cannot be brought up to date"
targets=$("$build/tegula" targets | sed -n 's/^\(nvptx:[^ ]*\).*/\1/p' | paste -sd,)
more=()
while [ $# -gt 0 ]; do
  case "$1" in
    --targets) targets=${2:?--targets takes nvptx:sm_XX,…} && shift 2 ;;
    --kernels) more+=("kernels=${2:?--kernels takes names}") && shift 2 ;;
    --quick) more+=(quick=1) && shift ;;
    *) die "--pack DIR takes --targets, --kernels and --quick, not '$1'" ;;
  esac
done
mkdir -p "$dir" || die "$dir cannot be made"
dir=$(cd "$dir" && pwd -P)
[ -z "$(ls -A "$dir")" ] || die "$dir is not empty"
mkdir "$dir/lib" "$dir/autotune" "$dir/pack"
cp "$build/portable/tegula" "$dir/tegula"
for library in $(ldd "$dir/tegula" | sed -n 's/.*\(liblua\|libcjson\|libgomp\)[^ ]* => \([^ ]*\) .*/\2/p'); do cp -L "$library" "$dir/lib/"; done
cp -r "$root/kernels" "$root/lua" "$dir/"
cp "$root/autotune/defaults.jsonl" "$dir/autotune/"
cp "$root/bench/gpu.lua" "$root/bench/gpu_torch.py" "$dir/"
cp "$root/bench/gpu.sh" "$dir/run"
TEGULA_PACK=$dir/pack TEGULA_FILL_PACK=1 "$build/tegula" run "$root/bench/gpu.lua" "$build/tegula" "targets=$targets" ${more[@]+"${more[@]}"}
echo "packed $(find "$dir/pack" -type f | wc -l) kernels for $targets, $(du -sh "$dir" | cut -f1): $dir/run, where a GPU is" >&2
