#!/usr/bin/env bash
# Makes the peers' virtual environment (torch, MKL) beside the benches when it is missing and can be had, then runs bench/run.py BUILD ARGS….
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
build=$1
shift
venv=$here/.venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q numpy mkl || echo "bench: MKL is not to be had: it will be missing from the table" >&2
  "$venv/bin/pip" install -q torch || echo "bench: torch is not to be had: it will be missing from the table" >&2
fi
exec "$venv/bin/python" "$here/run.py" "$build" "$@"
