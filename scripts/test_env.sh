#!/usr/bin/env bash
# What the tests need beyond the libraries: a Python environment with the official `openai` client and
# Hugging Face `tokenizers`, a Redis, a Chromium with its driver, the real Qwen3 tokenizer and a sentence encoder. Fetched by pinned version, kept in the prefix.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
requirements="$root/tests/e2e/requirements.txt"
venv="$deps_prefix/test-venv"
stamp="$venv/.$(sha256sum "$requirements" | cut -c1-16)"
if [ ! -f "$stamp" ]; then
  echo "test-venv: installing $(grep -c '==' "$requirements") Python packages"
  rm -rf "$venv"
  python3 -m venv "$venv"
  # Every archive is one whose sha256 stands in the file; what the packages need is listed there too.
  watched "pip install" "$venv/bin/pip" install --progress-bar off --disable-pip-version-check --no-deps \
    --require-hashes -r "$requirements"
  touch "$stamp"
fi
install_debian redis-server chromium chromium-driver
"$root/scripts/fetch_test_data.sh"
"$root/scripts/models.sh" minilm
