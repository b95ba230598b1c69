# Sourced by the other scripts: where things are, and how they speak.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps_prefix=${NEXTGATE_DEPS_PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/nextgate/deps}
export NEXTGATE_DEPS_PREFIX=$deps_prefix

say() { printf '\n== %s  [%d s]\n' "$*" "$SECONDS"; }

# configure_and_build PRESET [TARGET …]: configures if needed, then builds (everything without a target).
configure_and_build() {
  local preset=$1 dir="$root/build/$1"
  shift
  [ -f "$dir/build.ninja" ] || (cd "$root" && cmake --preset "$preset")
  cmake --build "$dir" ${1:+--target "$@"}
}
