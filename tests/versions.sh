#!/usr/bin/env bash
# The whole suite on every Python that is here, with the newest dependencies, then with the oldest that are declared:
#   tests/versions.sh [3.10 3.11 3.12 3.13 oldest]
# A Python is looked for on the path and below pyenv's root; one that is absent is said and left out. Each gets an
# environment of its own, .venv-VERSION. The exit code is 1 when a suite failed or none was run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

[ $# -gt 0 ] || set -- 3.10 3.11 3.12 3.13 oldest
OLDEST_PYTHON=3.10
mkdir -p build

# A shim of pyenv is on the path whether its Python is chosen or not: only what answers counts.
find_python() {
  "python$1" -c 'import sys; print(sys.executable)' 2>/dev/null ||
    find "${PYENV_ROOT:-$HOME/.pyenv}/versions" -path "*/$1.*/bin/python" 2>/dev/null | sort -V | tail -n 1
}

installed() {
  "$1/bin/python" -m pip list --format=freeze 2>/dev/null |
    grep -E '^(onnx|onnxruntime|onnx-graphsurgeon|onnx_graphsurgeon|numpy|click|rich)==' | paste -sd ' '
}

run=0 failed=0 lines=()
for version; do
  python=$(find_python "${version/oldest/$OLDEST_PYTHON}")
  if [ -z "$python" ]; then
    lines+=("$version: skipped, there is no Python ${version/oldest/$OLDEST_PYTHON} here")
    continue
  fi
  constraints=
  if [ "$version" = oldest ]; then
    constraints=build/oldest.txt
    # Later releases of check-jsonschema do not run with the oldest click.
    sed -n -e '/^dependencies = \[/,/^\]/s/.*"\([a-z-]*\)>=\([0-9.]*\)".*/\1==\2/p' \
      -e 's/.*"\(check-jsonschema\)>=\([0-9.]*\)".*/\1==\2/p' pyproject.toml >"$constraints"
  fi
  log=build/suite-$version.log
  make --no-print-directory PYTHON="$python" VENV=".venv-$version" CONSTRAINTS="$constraints" test 2>&1 | tee "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed=1
  run=$((run + 1))
  summary=$(grep -E '^=+ .*(passed|failed|error|no tests ran).* =+$' "$log" | tail -n 1 | tr -d =)
  lines+=("$version:${summary:- the suite did not start }($(installed ".venv-$version"))")
done

printf '%s\n' "${lines[@]}"
[ "$run" -gt 0 ] && [ "$failed" -eq 0 ]
