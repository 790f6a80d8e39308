#!/usr/bin/env bash
# Runs the unit tests that stay in one process, single-threaded and quick, under valgrind. usage: tests/valgrind.sh BUILD
# valgrind 3.19 knows AVX2 but not AVX-512: programs that run generated code are left to the sanitizer build.
set -euo pipefail
build=$1
status=0
for name in $(cat "$(dirname "$0")/valgrind.list"); do
  echo "valgrind $name"
  valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite "$build/tests/$name" >"$build/valgrind-$name.log" 2>&1 || {
    tail -n 30 "$build/valgrind-$name.log"
    status=1
  }
done
exit $status
