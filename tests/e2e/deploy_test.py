"""deploy/ and scripts/cluster: what they say to start does start, and what they look at is there."""

import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import time

import httpx
import pytest
import yaml

from api_keys_test import as_key, key_file, new_key
from conftest import BINARY, MODEL, ROOT, Server
from redis_server import RedisServer
from upstream_test import Gateway

DEPLOY = ROOT / "deploy"


def compose_arguments():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return [compose["services"][name]["command"] for name in ("nextgate-a", "nextgate-b")]


def kubernetes_arguments():
    (deployment, _) = yaml.safe_load_all((DEPLOY / "kubernetes/nextgate.yaml").read_text())
    assert deployment["spec"]["replicas"] == 2
    return 2 * [deployment["spec"]["template"]["spec"]["containers"][0]["args"]]


def here(arguments, redis, secret, prefix):
    """A container's arguments as this machine can take them: its own Redis, secret, directory and ports."""
    places = {"--cache-url=redis://redis:6379": f"--cache-url={redis.url}",
              "--prefix-disk-dir=/var/cache/nextgate": f"--prefix-disk-dir={prefix}"}
    flags = []
    for argument in arguments[1:]:
        name = argument.split("=")[0]
        if name == "--cache-secret-file":
            argument = f"--cache-secret-file={secret}"
        if name in ("--port", "--host", "--admin-host"):  # Server's own, and the loopback
            continue
        flags.append(places.get(argument, argument))
    return flags


@pytest.mark.parametrize("arguments", [compose_arguments, kubernetes_arguments])
def test_the_containers_flags_make_two_instances_that_share(arguments, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    redis = RedisServer("--maxmemory", "512mb", "--maxmemory-policy", "volatile-lru")
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    try:
        a, b = (Server(*here(given, redis, secret, prefix)) for given in arguments())
        assert all(given[0] == "/models/dictionary" for given in arguments()) and MODEL.endswith("models/dictionary")
        assert a.chat("Define harbour.").headers["X-Cache"] == "MISS"
        share(a.admin_url, lambda: b.chat("Define harbour."))
        assert any(prefix.iterdir()), "the disk tier has a folder for the model"
        assert a.stop() == 0 and b.stop() == 0
    finally:
        redis.remove()


def test_the_disk_tier_has_a_volume_and_redis_may_evict_answers_only():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (deployment, _) = yaml.safe_load_all((DEPLOY / "kubernetes/nextgate.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for arguments, places in ((container["args"], [path for path, mount in mounted.items() if not mount.get("readOnly")]),
                              (compose["services"]["nextgate-a"]["command"],
                               [volume.split(":")[1] for volume in compose["services"]["nextgate-a"]["volumes"]])):
        (directory,) = [a.split("=")[1] for a in arguments if a.startswith("--prefix-disk-dir=")]
        assert places == [directory]
    (redis, _) = yaml.safe_load_all((DEPLOY / "kubernetes/redis.yaml").read_text())
    for command in (compose["services"]["redis"]["command"], redis["spec"]["template"]["spec"]["containers"][0]["args"]):
        assert command[command.index("--maxmemory-policy") + 1] == "volatile-lru"


def share(admin_url, ask):
    """Waits until the first instance has stored its answer in Redis; then the other has it."""
    deadline = time.monotonic() + 20
    while httpx.get(admin_url + "/admin/cache/stats").json()["shared"]["stored"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert ask().headers["X-Cache"] == "HIT"


def free_base_port():
    """A port below those that connections get, with the script's other ports free too."""
    draw = random.Random()
    for _ in range(100):
        base = draw.randrange(20_000, 30_000)
        try:
            for offset in (0, 1, 10, 11, 79, 1090):
                socket.create_server(("127.0.0.1", base + offset)).close()
            return base
        except OSError:
            continue
    raise AssertionError("no base port")


def test_scripts_cluster_starts_the_topology_and_stops_it(tmp_path):
    base = free_base_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen([ROOT / "scripts/cluster"], env={**os.environ, "BASE_PORT": str(base), "NEXTGATE_BINARY": BINARY},
                                   stdout=output, stderr=subprocess.STDOUT)
    try:
        urls = [f"http://127.0.0.1:{base + offset}" for offset in (0, 10)]
        deadline = time.monotonic() + 60
        for url in urls:
            while not answers(url + "/ready"):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        question = {"model": "dictionary", "messages": [{"role": "user", "content": "Define harbour."}]}
        assert httpx.post(urls[0] + "/v1/chat/completions", json=question, timeout=30).headers["X-Cache"] == "MISS"
        share(f"http://127.0.0.1:{base + 1}",
              lambda: httpx.post(urls[1] + "/v1/chat/completions", json=question, timeout=30))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
    assert code == 0, log.read_text()
    assert not any(answers(url + "/ready") for url in urls)


def answers(url):
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def test_every_metric_of_the_dashboard_exists(tmp_path):
    redis = RedisServer()
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("x" * 64)
    key, line = new_key("--rpm", "1")  # so that one request is refused
    server = Server("--cache-url", redis.url, "--cache-secret-file", str(secret))
    before = Gateway("--api-key-file", key_file(tmp_path, line), upstreams=[server.url])
    try:
        server.chat("Define harbour.")
        assert [before.chat("Define harbour.", headers=as_key(key)).status_code for _ in range(2)] == [200, 429]
        exposed = {name for s in (server, before)
                   for name in re.findall(r"^([a-z_:]+)", httpx.get(s.admin_url + "/metrics").text, re.M)}
    finally:
        before.stop()
        server.stop()
        redis.remove()
    dashboard = json.loads((DEPLOY / "grafana/dashboards/nextgate.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for e in expressions for name in re.findall(r"(?:answer_cache|engine|gateway_|upstream_|vllm:)[a-z_:]*", e)}
    assert len(expressions) >= 30 and len(named) >= 24
    assert named <= exposed, named - exposed


def test_the_image_has_every_library_of_the_program():
    linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
    paths = [os.path.realpath(line.split()[2]) for line in linked.splitlines() if "=> /" in line]
    owners = subprocess.run(["dpkg", "-S", *paths], capture_output=True, text=True).stdout
    packages = {line.split(":")[0] for line in owners.splitlines()} - {"libc6", "libstdc++6", "libgcc-s1", "zlib1g"}
    dockerfile = (DEPLOY / "Dockerfile").read_text().split("FROM debian:12-slim")[1]
    assert len(packages) >= 5
    assert packages <= set(dockerfile.split()), packages - set(dockerfile.split())
