#!/usr/bin/env bash
# Tuners that share a database and are killed at any moment, in the middle of an append too: no record is lost, none is torn but the one that
# was being written, and each run that starts again ends well.
build=$1 failures=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
export TEGULA_CACHE=$PWD/cache TEGULA_DATABASE=$PWD/shared.jsonl

tune() { "$build/tegula" tune swiglu --shape T=8,I=64 --trials 5 --threads 1 --json --seed "$1" >"out$1" 2>"err$1"; }
check() { # CONDITION, words
  if ! eval "$1"; then
    printf '%s: %s\n' "$2" "$1"
    tail -n 3 err* "$TEGULA_DATABASE"
    failures=1
  fi
}
whole() { grep -c '^{"kernel":"swiglu",.*"time":[0-9]*}$' "$TEGULA_DATABASE"; }
lines() { wc -l <"$TEGULA_DATABASE"; }

# two at once, on one journal and on two
for second in 1 2; do
  tune 1 & a=$!
  tune $second & b=$!
  wait $a; check "[ $? = 0 ]" "the first of two tuners"
  wait $b; check "[ $? = 0 ]" "the second of two tuners"
done
check '[ "$(whole)" = "$(lines)" ]' "two tuners at once"

# killed and started again while another goes on
tune 3 & a=$!
for delay in 0.1 0.3 0.6; do
  "$build/tegula" tune swiglu --shape T=8,I=64 --trials 5 --threads 1 --json --seed 4 >/dev/null 2>&1 & b=$!
  sleep $delay
  kill -9 $b 2>/dev/null
  wait $b 2>/dev/null
done
tune 4; check "[ $? = 0 ]" "a tuner that was killed"
wait $a; check "[ $? = 0 ]" "the tuner beside it"
check '[ "$(whole)" = "$(lines)" ]' "killed tuners"
check '[ -z "$(ls shared.jsonl.run-* 2>/dev/null)" ]' "journals of complete runs"

# an append cut short, wherever: the torn line is the only one lost
cp shared.jsonl all.jsonl
for keep in 1 20 200; do
  tail -n 1 all.jsonl | head -c $keep >torn
  cat all.jsonl torn >shared.jsonl
  before=$(whole)
  "$build/tegula" bench swiglu --shape T=8,I=64 --threads 1 --runs 1 >/dev/null 2>err
  check 'grep -q "skipped 1 line" err' "the torn line is named"
  tune 5; check "[ $? = 0 ]" "after a torn line"
  check '[ "$(whole)" -gt "$before" ] && [ "$(whole)" = $(($(lines) - 1)) ]' "after a torn line"
done
exit $failures
