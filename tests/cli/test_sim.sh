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
refused "more than 256 MiB" /dev/zero count i32:6 --block 1

# Tensor maps and clusters: each of two blocks takes its 8 x 32 box of an 8 x 64 array and writes it out again; the second map is of the array of argument 2.
cat > t.ptx <<'PTX'
.version 8.0
.target sm_90
.address_size 64
.entry move(.param .align 64 .b8 x[128], .param .u64 y, .param .align 64 .b8 z[128])
{
.shared .align 128 .b8 sm[1152];
.reg .b64 %d<4>; .reg .b32 %r<4>; .reg .pred %p<2>;
mov.b64 %d0, x;
cvta.param.u64 %d0, %d0;
mov.b64 %d1, z;
cvta.param.u64 %d1, %d1;
mov.u32 %r0, %cluster_ctarank;
shl.b32 %r0, %r0, 5;
mbarrier.init.shared.b64 [sm+1024], 1;
mbarrier.arrive.expect_tx.shared.b64 _, [sm+1024], 1024;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [sm], [%d0, {%r0, 0}], [sm+1024];
W: mbarrier.try_wait.parity.shared.b64 %p0, [sm+1024], 0;
@!%p0 bra W;
cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%d1, {%r0, 0}], [sm];
cp.async.bulk.commit_group;
cp.async.bulk.wait_group.read 0;
ret;
}
PTX
"$tegula" sim k.ptx count i32:512 --block 512 --out 1=v.npy > /dev/null
head -c 128 v.npy | sed "s/(512,), }          /(8, 64), }         /" > m.npy
tail -c 2048 v.npy >> m.npy
"$tegula" sim t.ptx move map:m.npy,box=8x32,swizzle=128 i32:8x64 map:@2,box=8x32,swizzle=128 --grid 2 --cluster 2 --block 1 --out 2=w.npy > /dev/null
check "tensor maps and clusters" 'cmp -s <(tail -c 2048 v.npy) <(tail -c 2048 w.npy)'
check "the head was made" 'cmp -s <(head -c 128 w.npy | tr -d " ") <(head -c 128 m.npy | tr -d " ")'
moved() { refused "$1" t.ptx move "$2" i32:8x64 map:@2,box=8x32,swizzle=128 --grid 2 --cluster "${3:-2}" --block 1; }
moved "a row of its box is longer than its swizzle" map:m.npy,box=8x64,swizzle=128
moved "2 numbers from 1 to 256, as in 128x64" map:m.npy,box=8
moved "is none of box=" map:m.npy,box=8x32,boxes=3
moved "box=… is missing" map:m.npy,swizzle=128
moved "no array that stands before it" map:@1,box=8x32
moved "names an array and its box" map:m.npy
moved "is no multiple of its clusters" map:m.npy,box=8x32,swizzle=128 3
refused "no number fills them" t.ptx move 3 i32:8x64 map:@2,box=8x32 --block 1
exit $failed
