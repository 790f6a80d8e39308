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

refuse "return { $head, figures = {}, base = 1 }" "'base' can only be true"
refuse "return { $head, figures = {}, defaults = 3 }" "'defaults'"
refuse "return { $head, figures = {}, defaults = { 3 } }" 'defaults[1]'
refuse "return { $head, figures = {}, defaults = { a = {} } }" 'defaults[a]'
refuse "return { $head, figures = {}, defaults = { [3] = { 'k', BM = 1 } } }" 'defaults[3] is not'
refuse "return { $head, figures = {}, defaults = { { 'k', BM = '3' } } }" 'defaults[1].BM is not a whole number'
refuse "return { $head, figures = {}, defaults = { { 'k', ['a b'] = 3 } } }" "'a b' is not a name"
refuse "return { $head, figures = {}, defaults = { { 'k', when = { o = {} } } } }" 'defaults[1].when.o'
refuse 'return { name = "m", target = "nvptx:sm_80", arch = "sm_80", doc = "d", figures = { tensor_maps = { 1, source = "s" } } }' 'sm_80 has nothing of the kind'

printf 'return { %s, figures = { warp = { 7, source = "a \\"quoted\\" page" } } }\n' "$head" > m.lua
cp m.lua twice.lua
"$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c m.lua twice.lua 2>/dev/null && { echo "a name given twice was accepted"; failures=$((failures + 1)); }
"$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c m.lua || failures=$((failures + 1))
grep -q 'warp = 7' out.c && grep -q 'a \\042quoted\\042 page' out.c || { echo "out.c lacks what was described"; failures=$((failures + 1)); }
echo 'return { name = "n", target = "cpu:avx2", like = "m", doc = "d", figures = { fma = { 1, source = "s" } } }' > n.lua
"$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c n.lua m.lua || failures=$((failures + 1))
[ "$(grep -c 'warp = 7' out.c)" = 2 ] && [ "$(grep -c 'fma = 1' out.c)" = 1 ] || { echo "out.c lacks what one is like"; failures=$((failures + 1)); }
# Bases: like one that is like one, in any order of the files; a ring; a base that leaves something open; defaults, a description's own last.
generate() { "$lua" "$source_dir/targets/machines.gen.lua" "$source_dir/targets/machines" out.c "$@" 2>&1; }
echo 'return { name = "f", base = true, doc = "d", figures = { warp = { 9, source = "s" } }, defaults = { { "k", BM = 1, warps = 2 } } }' > f.lua
echo 'return { name = "b", base = true, like = "f", target = "nvptx:sm_80", arch = "sm_80", doc = "d" }' > b.lua
echo 'return { name = "c", like = "b", doc = "d", defaults = { { "k", when = { mode = "x" }, BM = 3 } } }' > c.lua
generate c.lua b.lua f.lua || failures=$((failures + 1))
[ "$(grep -c 'warp = 9' out.c)" = 3 ] && grep -q 'row_count = 1;' out.c && grep -q 'base_count = 2;' out.c || { echo "bases are not what was described"; failures=$((failures + 1)); }
grep -q 'defaults_c = {&defaults_f, NULL, 1' out.c && grep -q '{"k", {1, (tg_binding\[\]){{"mode", "x"}}}, {1, (tg_binding\[\]){{"BM", "3"}}}}' out.c || { echo "out.c lacks defaults"; failures=$((failures + 1)); }
for name in x.y x-y x_y; do echo "return { name = '$name', like = 'c', doc = 'd', defaults = { { 'k', BM = 4 } } }" > "$name.lua"; done
generate x.y.lua x-y.lua x_y.lua c.lua b.lua f.lua || failures=$((failures + 1))
[ "$(grep -o '^static const tg_defaults defaults_[a-z0-9_]*' out.c | sort -u | wc -l)" = 5 ] || { echo "two descriptions have one name in C"; failures=$((failures + 1)); }
echo 'return { name = "d", like = "f", doc = "d" }' > d.lua
message=$(generate d.lua f.lua) && { echo "a machine without a target was accepted"; failures=$((failures + 1)); }
[[ $message == *d.lua*"is missing"* ]] || { echo "message: $message"; failures=$((failures + 1)); }
echo 'return { name = "f", base = true, like = "b", doc = "d" }' > f.lua
message=$(generate c.lua b.lua f.lua) && { echo "a ring was accepted"; failures=$((failures + 1)); }
[[ $message == *"leads back"* ]] || { echo "message: $message"; failures=$((failures + 1)); }
exit $((failures != 0))
