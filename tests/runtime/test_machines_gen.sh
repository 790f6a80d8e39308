#!/bin/bash
# The build's own reading of machine descriptions: what is wrong with a file stops the build with the file's name and the field's.
set -u
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
lua=$(command -v lua5.4 || command -v lua)
cd "$(mktemp -d)" || exit 1
trap 'rm -rf "$PWD"' EXIT
failures=0
head='name = "m", target = "cpu:avx2", arch = "x", doc = "d"'

refuse() { # description, what the message must hold
  printf '%s\n' "$1" > m.lua
  if message=$("$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c m.lua 2>&1); then
    echo "accepted: $1"; failures=$((failures + 1))
  elif [[ $message != *m.lua* || $message != *"$2"* ]]; then
    echo "message for $1: $message"; failures=$((failures + 1))
  fi
}
refuse 'return 5' 'not a table'
refuse 'return {' 'expected'
refuse 'return { target = "cpu:avx2", arch = "x", doc = "d", figures = {} }' "'name' is missing"
refuse "return { $head, figures = {}, colour = 1 }" "unknown field 'colour'"
refuse "return { $head }" "'figures'"
refuse "return { $head, figures = { warps = { 1, source = 's' } } }" 'figures.warps'
refuse "return { $head, figures = { warp = { 'x', source = 's' } } }" 'figures.warp'
refuse "return { $head, figures = { warp = { 1 } } }" 'names no document'
refuse "return { $head, figures = { warp = { 1, source = 's', page = 3 } } }" "unknown field 'page'"
refuse 'return { name = "a b", target = "cpu:avx2", arch = "x", doc = "d", figures = {} }' "'name'"
refuse 'return { name = "m", target = "cpu", arch = "x", doc = "d", figures = {} }' 'FAMILY:ARCH'
refuse 'return os.getenv("HOME")' 'os'
refuse 'return { name = "m", target = "cpu:avx2", like = "n", doc = "d", figures = {} }' "field 'like': 'n'"
refuse 'return { name = "m", target = "cpu:avx2", like = "m", doc = "d", figures = {} }' "field 'like': 'm'"

printf 'return { %s, figures = { warp = { 7, source = "a \\"quoted\\" page" } } }\n' "$head" > m.lua
cp m.lua twice.lua
"$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c m.lua twice.lua 2>/dev/null && { echo "a name given twice was accepted"; failures=$((failures + 1)); }
"$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c m.lua || failures=$((failures + 1))
grep -q 'warp = 7' out.c && grep -q 'a \\042quoted\\042 page' out.c || { echo "out.c lacks what was described"; failures=$((failures + 1)); }
echo 'return { name = "n", target = "cpu:avx2", like = "m", doc = "d", figures = { fma = { 1, source = "s" } } }' > n.lua
"$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c n.lua m.lua || failures=$((failures + 1))
[ "$(grep -c 'warp = 7' out.c)" = 2 ] && [ "$(grep -c 'fma = 1' out.c)" = 1 ] || { echo "out.c lacks what one is like"; failures=$((failures + 1)); }
exit $((failures != 0))
