"""What flags and the checkpoint's files change for a client, on the real binary."""

import json
import os
import pathlib
import subprocess

from conftest import BINARY, MODEL

CHAT = {"model": "dictionary", "messages": [{"role": "user", "content": "What does harbour mean?"}], "temperature": 0}
COMPLETION = {"model": "dictionary", "prompt": "Once upon a time", "temperature": 0, "ignore_eos": True}


def refusal(*flags):
    """What `nextgate serve` says when it refuses to start."""
    ran = subprocess.run([BINARY, "serve", MODEL, "--port", "0", *flags], capture_output=True, text=True, timeout=60)
    assert ran.returncode != 0
    return ran.stdout + ran.stderr


def chat(server, **fields):
    return server.post("/v1/chat/completions", {**CHAT, **fields}).json()


def completion(server, **fields):
    return server.post("/v1/completions", {**COMPLETION, **fields}).json()


def generation_config(directory, **fields):
    (directory / "generation_config.json").write_text(json.dumps(fields))
    return str(directory)


def test_a_generation_config_that_is_not_there_is_refused_by_name(tmp_path):
    said = refusal("--generation-config", "vlmm")
    assert "--generation-config vlmm: no such directory (allowed: auto, vllm, or a directory)" in said
    assert f"{tmp_path}: no generation_config.json" in refusal("--generation-config", str(tmp_path))


def test_a_step_too_small_for_a_prompt_is_refused_with_the_arithmetic():
    said = refusal("--max-num-batched-tokens", "100")
    assert "--max-num-batched-tokens must be between 128 (a token for each of --max-num-seqs 64 + a block of 64" in said


def test_a_named_generation_config_bounds_and_ends_every_answer(start, tmp_path):
    plain = start()
    tokens = chat(plain, return_token_ids=True)["choices"][0]["token_ids"]
    assert len(tokens) > 8
    assert tokens[4] not in tokens[:4]

    named = start("--generation-config", generation_config(tmp_path, do_sample=False, max_new_tokens=7,
                                                           eos_token_id=tokens[4]))
    ended = chat(named, return_token_ids=True)["choices"][0]
    assert ended["finish_reason"] == "stop"
    assert ended["token_ids"][:4] == tokens[:4] and len(ended["token_ids"]) <= 5
    for answer in (chat(named, ignore_eos=True), chat(named, ignore_eos=True, max_tokens=30),
                   completion(named), completion(named, max_tokens=30)):
        assert answer["usage"]["completion_tokens"] == 7
        assert answer["choices"][0]["finish_reason"] == "length"
    assert chat(named, ignore_eos=True, max_tokens=2)["usage"]["completion_tokens"] == 2


def test_max_new_tokens_of_the_checkpoint_is_the_default_of_chats(start, tmp_path):
    for file in pathlib.Path(MODEL).resolve().iterdir():
        if file.name != "generation_config.json":
            os.symlink(file, tmp_path / file.name)
    server = start(model=generation_config(tmp_path, do_sample=False, max_new_tokens=3))
    assert chat(server)["usage"]["completion_tokens"] == 3
    assert chat(server, ignore_eos=True, max_tokens=5)["usage"]["completion_tokens"] == 5
    assert completion(server)["usage"]["completion_tokens"] == 16
    neutral = start("--generation-config", "vllm", model=str(tmp_path))
    assert chat(neutral)["usage"]["completion_tokens"] > 3


def test_flags_are_taken_in_the_forms_that_vllm_takes(start):
    server = start("-O3", "-dp", "1", "--max_model_len=1k", "--hf-overrides.rope_theta", "5e6", "-cc.mode=3")
    assert server.post("/tokenize", {"model": "dictionary", "prompt": "a"}).json()["max_model_len"] == 1000
    assert "--optimization-level has no effect here" in server.log()
    assert "--compilation-config has no effect here" in server.log()
