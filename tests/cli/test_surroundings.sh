#!/usr/bin/env bash
# What surrounds the command: closed streams, full disks, odd environments, small limits, helpers that are killed. The exit statuses are the
# documented ones, errors are sentences, nothing half-written stays.
build=$1 failures=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
export TG=$build/tegula TEGULA_CACHE=$PWD/cache
mkdir home work

# expect STATUS WORDS COMMAND: of the command in a shell; WORDS ("" = none) must be in what it says on standard error.
expect() {
  (cd work && exec timeout 100 bash -c "$3") >out 2>err </dev/null
  local status=$?
  if [ $status != "$1" ] || { [ -n "$2" ] && ! grep -qF -- "$2" err; }; then
    printf '%s\n  ended with %s, not %s; it said: %s\n' "$3" $status "$1" "$(head -c 600 err)"
    failures=$((failures + 1))
  fi
}
nothing_left() { # in work/
  if [ -n "$(ls -A work)" ]; then
    printf '%s left: %s\n' "$1" "$(ls -A work | tr '\n' ' ')"
    failures=$((failures + 1))
    rm -rf work/*
  fi
}

# streams
expect 1 "standard output" '"$TG" kernels >/dev/full'
expect 1 "standard output" '"$TG" --help >/dev/full'
expect 1 "standard output" '"$TG" kernels >&-'
expect 1 "standard output" '"$TG" compile swiglu --target cpu --emit lane >&-'
expect 1 "" '"$TG" kernels >&- 2>&-'
expect 0 "" '"$TG" compile swiglu --target cpu --emit obj -o o.o <&- >&- 2>&- && test -s o.o && rm o.o'
expect 2 "cannot open" '"$TG" run missing.lua <&- >&-'
# nobody reads: quietly, by the signal
for command in kernels '--help' 'compile swiglu --target cpu --emit lane' 'check --target cpu:avx2'; do
  export COMMAND=$command
  expect 0 "" '{ sleep 0.2; "$TG" $COMMAND 2>err; echo $? >status; } | true; read s <status; test $s = 141 -a ! -s err; s=$?; rm -f err status; exit $s'
done
nothing_left streams

# a full disk, as a limit on the size of files and as a device that is full
cat >work/one.lua <<'LUA'
local tg <const> = require "tegula"
tg.tensor("f32", {256, 256}):write(arg[1])
LUA
mv work/one.lua .
expect 1 "File too large" 'ulimit -f 1; "$TG" compile swiglu --target cpu --emit llvm -o x.ll'
expect 1 "x.npy" 'ulimit -f 1; "$TG" run ../one.lua x.npy'
expect 1 "/dev/full" '"$TG" compile swiglu --target cpu --emit llvm -o /dev/full'
expect 1 "/dev/full" '"$TG" run ../one.lua /dev/full'
expect 1 "/dev/full: No space left" 'TEGULA_DATABASE=/dev/full "$TG" tune swiglu --shape T=4,I=64 --trials 2 --threads 1'
expect 0 "" 'TEGULA_CACHE=/dev/null/no "$TG" compile swiglu --target cpu --emit asm >/dev/null'
nothing_left "a full disk"

# a file system of a few pages, where one may be mounted
if unshare -rm true 2>/dev/null; then
  mkdir tiny
  cat >tiny.sh <<'SH'
mount -t tmpfs -o size=16k none "$1" || exit 77
export TEGULA_CACHE=$1/cache TMPDIR=$1
head -c 8000 /dev/zero >"$1/full"
"$TG" compile swiglu --target cpu --emit llvm -o "$1/x.ll"
[ $? = 1 ] && [ "$(ls "$1")" = "$(printf 'cache\nfull')" ] || exit 3
"$TG" bench swiglu --shape T=4,I=64 --threads 1 --runs 1 >/dev/null || exit 4
"$TG" tune swiglu --shape T=4,I=64 --threads 1 --trials 2 >/dev/null
[ $? = 1 ] && [ -z "$(cat "$1/cache/tuning.jsonl")" ] || exit 5
SH
  expect 0 "No space left" 'unshare -rm bash ../tiny.sh $PWD/../tiny; s=$?; [ $s = 77 ] && echo "No space left" >&2 || exit $s'
fi

# environments
expect 0 "" 'env -i "$TG" kernels'
expect 0 "" 'env -i "$TG" compile swiglu --target cpu --emit asm >/dev/null'
for value in /proc/nowhere "" relative/x '/a b/%s%n' "$(printf 'x%.0s' {1..5000})"; do
  export VALUE=$value
  expect 0 "" 'cd ../home && HOME=$VALUE XDG_CACHE_HOME=$VALUE TEGULA_CACHE=$VALUE "$TG" compile swiglu --target cpu --emit lane >/dev/null'
done
expect 1 "/nonexistent" 'TEGULA_WORKER=/nonexistent TEGULA_CACHE= HOME=/proc/nowhere "$TG" compile swiglu --target cpu --emit asm'
expect 1 "the helper left with exit code 0" 'TEGULA_WORKER=/bin/true TEGULA_CACHE=/proc/nowhere "$TG" compile swiglu --target cpu --emit asm'
expect 2 "/nonexistent/kernels" 'TEGULA_ROOT=/nonexistent "$TG" kernels'
for value in abc -1 0 99999999999999999999 1e9; do
  export VALUE=$value
  expect 0 "" 'TEGULA_COMPILE_SECONDS=$VALUE OMP_NUM_THREADS=$VALUE OMP_STACKSIZE=$VALUE TEGULA_CACHE=/proc/nowhere "$TG" compile swiglu --target cpu --emit lane >/dev/null'
done
expect 0 "cannot write the dumps" 'TEGULA_DUMP=/dev/null/no "$TG" compile swiglu --target cpu --emit lane >/dev/null'
expect 0 "" 'mkdir gone && cd gone && rmdir ../gone && "$TG" compile swiglu --target cpu --emit lane >/dev/null'
# how long OpenMP's threads spin is chosen by starting again, unless the user has chosen; name and arguments stay
echo 'print(os.getenv("GOMP_SPINCOUNT"), io.open("/proc/self/comm"):read(), ...)' >spin.lua
spins() { # WANT ENVIRONMENT...
  local want=$1 got
  shift
  got=$(env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY "$@" "$TG" run spin.lua "a  b" "")
  [ "$got" = "$want" ] || { printf 'with %s a script says %s, not %s\n' "$*" "$got" "$want"; failures=$((failures + 1)); }
}
spins $'1000\ttegula\ta  b\t'
spins $'7\ttegula\ta  b\t' GOMP_SPINCOUNT=7
spins $'nil\ttegula\ta  b\t' OMP_WAIT_POLICY=active
nothing_left environments

# limits
expect 1 "" 'ulimit -n 4; "$TG" compile swiglu --target cpu --emit asm >/dev/null'
for fds in 5 6 7 8 9 10 12; do
  export FDS=$fds
  expect 0 "" 'ulimit -n $FDS; "$TG" compile swiglu --target cpu --emit lane >/dev/null; test $? -le 1'
done
if ! grep -qa __asan_init "$TG"; then # AddressSanitizer wants terabytes of addresses; 3000 KiB hold the program, less ends in its exec
  for kib in 3000 8000 20000 50000 100000 200000; do
    export KIB=$kib
    expect 0 "" 'ulimit -v $KIB; "$TG" compile swiglu --target cpu --emit asm >/dev/null; s=$?; test $s -le 1 -o $s = 127 && ! (($s == 127 && $KIB > 100000))'
  done
fi
nothing_left limits

# an assembler that never ends, one that never stops talking, one that says anything at all
for what in 'sleep 100' 'yes assembling' 'head -c 9999 /dev/urandom'; do printf '#!/bin/sh\nexec %s\n' "$what" >"${what%% *}"; done
chmod +x sleep yes head
assemble='TMPDIR=$PWD TEGULA_PTXAS=$PWD/../$TOOL "$TG" compile swiglu --target nvptx:sm_80 --emit obj -o x.cubin'
TOOL=sleep TEGULA_COMPILE_SECONDS=1 expect 1 "took longer than 1 s" "$assemble"
TOOL=yes expect 1 "was ended by a signal" "$assemble"
TOOL=head expect 1 "left no cubin" "$assemble"
printf '#!/bin/sh\nprintf "ptxas fatal : \\033[2Jbad\\rnews\\a"\nexit 1\n' >printf && chmod +x printf # what a terminal would obey is not handed on
TOOL=printf expect 1 "does not take the PTX: ?[2Jbad?news?" "$assemble"
nothing_left assemblers

# helpers killed at any time: a fresh one does the work, or the error says what happened; the command itself never hangs or crashes
for delay in 0.00 0.01 0.02 0.03 0.05; do
  export DELAY=$delay
  expect 0 "" 'TEGULA_CACHE=/proc/nowhere "$TG" compile gemm_fp8 --target cpu --emit asm -o x.s 2>x.err & pid=$!
    sleep $DELAY; helper=$(pgrep -P $pid); [ -z "$helper" ] || kill -9 $helper; wait $pid; s=$?
    if [ $s = 0 ]; then test -s x.s; else test $s = 1 && grep -q signal x.err; fi; s=$?; rm -f x.s x.err; exit $s'
done
nothing_left "killed helpers"
exit $((failures != 0))
