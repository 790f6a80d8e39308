#!/usr/bin/env bash
# What the DSL offers is in docs/dsl.md, each name in the section where a reader looks for it; no line of lua/ is longer than 140 columns.
root=$(cd "$(dirname "$0")/../.." && pwd) failures=0 checked=0
export LC_ALL=C.UTF-8
cd "$root" || exit 1

section() { awk -v want="## $1" '/^## /{on = $0 == want} on' docs/dsl.md; }
# documented SECTION PREFIX NAMES: PREFIX is what stands before a name there.
documented() {
  local text name
  text=$(section "$1")
  for name in $3; do
    checked=$((checked + 1))
    grep -qE "$2$name([^a-z_]|\$)" <<<"$text" || { echo "docs/dsl.md, '$1': no $name"; failures=$((failures + 1)); }
  done
}
methods() { grep -ohE '^(function )?methods(\.|\[")[a-zA-Z_]+' "lua/$1.lua" | grep -oE '[a-zA-Z_]+$' | sort -u; }

elementwise=$(grep -E '^OP\(.*"PE[A-Z]*V[A-Z]*".*"",' ir/elementwise.def | grep -oE '^OP\([A-Z0-9_]+, *"[a-z0-9_]+"' | grep -oE '"[a-z0-9_]+"' | tr -d '"' |
  sed 's/^and$/band/; s/^or$/bor/; s/^not$/bnot/' | grep -v '^select$')
reductions=$(grep -E '^local reductions = ' lua/tile.lua | grep -oE '"[a-z]+"' | tr -d '"' | sed 's/^/r/')
documented Tiles '[:.]' "$(methods tile) $reductions"
documented Tiles ':' "$elementwise"
documented "Ranges and control" '[:.]' "$(methods range)"
documented "Tensors and views" '[:.]' "$(methods view)"
documented Declarations '[:.]' "$(grep -oE '^(function )?k\.[a-z]+' lua/kernel.lua | sed 's/.*k\.//' | grep -v blocks) $(
  grep -oE '^k\.input.*=' lua/kernel.lua | grep -oE 'k\.[a-z]+' | sed 's/k\.//')"
documented Launches 'k[.]' blocks
script=$(grep -ohE '\{"[a-z]+", [a-z_]+\}' lua/script.c lua/array.c lua/buffer.c | grep -oE '^\{"[a-z]+' | tr -d '{"')
documented Scripts '[:.]' "$script"
documented Scripts '(p|handle):' "$(grep -ohE '^function (handle_)?methods\.[a-z]+' lua/pipeline*.lua | sed 's/.*\.//')"
for name in $(awk '/^local tg = \{/{on = 1; next} /^\}/{on = 0} on' lua/tegula.lua | grep -oE '[a-z]+ = ' | tr -d ' ='); do
  checked=$((checked + 1))
  grep -qE "tg\.$name([^a-z]|\$)" docs/dsl.md || { echo "docs/dsl.md: no tg.$name"; failures=$((failures + 1)); }
done
if long=$(grep -nE '^.{141,}' lua/*.lua); then
  echo "longer than 140 columns:"
  echo "$long"
  failures=$((failures + 1))
fi
echo "$checked names, $failures failures"
[ $checked -gt 90 ] && [ $failures = 0 ]
