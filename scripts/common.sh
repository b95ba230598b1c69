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

# install_debian PACKAGE …: what is missing of these, through apt.
install_debian() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "missing Debian packages; as root run: apt-get install -y ${missing[*]}" >&2
      exit 1
    }
    as_root=(sudo)
  fi
  echo "Debian packages: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
