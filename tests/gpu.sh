#!/usr/bin/env bash
# On a machine with a GPU: cuda:: bodies against cpu::, then the same under compute-sanitizer. Builds the program first,
# unless one is named or this machine has no cmake or nvcc and a program that was built elsewhere.
#   tests/gpu.sh [TEST_PROGRAM]        closes with: N passed, N failed
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$root/build/release/tests/test_gpu}
can_build() { command -v cmake >/dev/null && { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; }; }
if [ $# -eq 0 ] && { can_build || [ ! -x "$program" ]; }; then
  (cd "$root" && cmake --preset release && cmake --build build/release --target test_gpu) || exit 1
elif [ $# -eq 0 ]; then
  echo "no cmake or nvcc here: testing $program as it was built on $(date -r "$program" '+%F %R')"
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
