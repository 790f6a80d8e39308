#!/usr/bin/env bash
# tegula sim: arguments by file, dtype and number, the counts, faults and their exit status.
set -u
tegula=$(cd "$1" && pwd)/tegula
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failed=0
check() { if ! eval "$2"; then echo "failed: $1: $2"; failed=1; fi; }

cat > k.ptx <<'PTX'
.version 7.0
.target sm_80
.address_size 64
.entry add(.param .u64 x, .param .u64 y, .param .u32 n, .param .f32 f)
{
.reg .b64 %d<4>; .reg .b32 %r<4>; .reg .f32 %f<4>;
ld.param.u64 %d0, [x];
ld.param.u64 %d1, [y];
ld.param.u32 %r0, [n];
ld.param.f32 %f0, [f];
cvt.rzi.s32.f32 %r3, %f0;
mov.u32 %r1, %tid.x;
mad.wide.u32 %d2, %r1, 4, %d0;
mad.wide.u32 %d3, %r1, 4, %d1;
ld.global.u32 %r2, [%d2];
add.u32 %r2, %r2, %r0;
add.u32 %r2, %r2, %r3;
st.global.u32 [%d3], %r2;
ret;
}
.entry count(.param .u64 x)
{
.reg .b64 %d<2>; .reg .b32 %r<2>;
ld.param.u64 %d0, [x];
mov.u32 %r0, %tid.x;
mad.wide.u32 %d1, %r0, 4, %d0;
st.global.u32 [%d1], %r0;
ret;
}
PTX
words() { tail -c $((4 * $2)) "$1" | od -An -td4 | tr -s ' \n' ' '; }

"$tegula" sim k.ptx count i32:6 --block 6 --out 1=x.npy > counts.txt
check "count" '[ "$(words x.npy 6)" = " 0 1 2 3 4 5 " ]'
check "counts are printed" 'grep -q "^instructions global *1$" counts.txt'
"$tegula" sim k.ptx add x.npy i32:2x3 0x64 7.5 --block 6 --out 2=y.npy --json > y.json
check "add" '[ "$(words y.npy 6)" = " 107 108 109 110 111 112 " ]'
check "json" 'grep -q "\"faults\":.*\[\]" y.json'
"$tegula" sim k.ptx add x.npy i32:6 1 0 --block 7 --out 2=z.npy --json > z.json 2> z.err
check "a fault is status 1" '[ $? = 1 ]'
check "a fault is named" 'grep -q "line 15: out of bounds: thread (6,0,0) of block (0,0,0): it reads 4 bytes at byte 24 of argument 1" z.err'
check "json has it" 'grep -q "\"line\":.*15" z.json'
check "nothing is written" '[ ! -e z.npy ]'
refused() {
  local words=$1
  shift
  "$tegula" sim "$@" > /dev/null 2> err
  local status=$?
  if [ $status != 2 ] || ! grep -qF -- "$words" err; then
    echo "failed: sim $*: status $status, lacks '$words': $(cat err)"
    failed=1
  fi
}
refused "too few arguments" k.ptx
refused "has no entry 'nobody'; it has add, count" k.ptx nobody --block 1
refused "4 parameters, 1 arguments" k.ptx add 1 --block 1
refused "no number of .u32" k.ptx add x.npy x.npy soon 1 --block 1
refused "is no shape" k.ptx count i32:6y --block 1
refused "there is no dtype 'i33'" k.ptx count i33:6 --block 1
refused "argument 2 is no array" k.ptx count i32:6 --block 1 --out 2=x.npy
refused "not up to three whole numbers" k.ptx count i32:6 --block 1,,2
refused "1 to 1024" k.ptx count i32:6 --block 2000
refused "cannot read" nothing.ptx count i32:6 --block 1
exit $failed
