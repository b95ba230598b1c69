#!/usr/bin/env bash
# On a machine with a GPU: cuda:: bodies against cpu::, then the same under compute-sanitizer. Builds what is missing.
#   tests/gpu.sh [TEST_PROGRAM]        closes with: N passed, N failed
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$root/build/release/tests/test_gpu}
if [ ! -x "$program" ]; then
  (cd "$root" && cmake --preset release && cmake --build build/release --target test_gpu) || exit 1
fi
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
passed=0
failed=0
check() {
  local name=$1 log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1 && grep -q '\[  PASSED  \]' "$log" && ! grep -q '\[  SKIPPED \]' "$log"; then
    echo "ok    $name: $(grep -E '^\[  PASSED  \]|ERROR SUMMARY' "$log" | tr '\n' ' ')"
    passed=$((passed + 1))
  else
    echo "FAIL  $name"
    tail -40 "$log"
    failed=$((failed + 1))
  fi
  rm -f "$log"
}
check "cuda against cpu" "$program"
check "again, other seeds" "$program"
check "memcheck" compute-sanitizer --tool memcheck --error-exitcode 9 "$program"
check "racecheck" compute-sanitizer --tool racecheck --error-exitcode 9 "$program" --gtest_filter='-*Linear*'
check "synccheck" compute-sanitizer --tool synccheck --error-exitcode 9 "$program" --gtest_filter='-*Linear*'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
