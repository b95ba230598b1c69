"""The disk tier on a file system that is full: nothing changes for clients, and the log says it once."""

import subprocess

import httpx
import pytest

from admin_test import until
from prefix_test import cached, chat, system, user

# A file system of two MiB of its own, for this process and those it starts.
FULL = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"']


@pytest.fixture
def small_disk(tmp_path):
    if subprocess.run([*FULL, str(tmp_path), "true"], capture_output=True).returncode != 0:
        pytest.skip("no file systems can be mounted here, not even in a namespace of one's own")
    return tmp_path


def tier(server):
    (one,) = httpx.get(server.admin_url + "/admin/prefix/stats").json()["tiers"]
    return one


def test_a_disk_that_fills_up_stops_being_written_to_and_nothing_else_changes(start, small_disk):
    plain = start("--no-enable-prefix-caching")
    server = start("--prefix-disk-dir", str(small_disk), "--prefix-disk-gib", "1", under=[*FULL, str(small_disk)])
    for i in range(40):
        messages = [system(f"full {i}"), user("harbour?")]
        expected = chat(plain, messages)
        for time in range(2):
            answer = chat(server, messages)
            assert answer.choices[0].message.content == expected.choices[0].message.content
            assert time == 0 or cached(answer) > 0
    until(lambda: tier(server)["store_failures"] >= 1)
    stats = tier(server)
    assert 0 < stats["stored"] and stats["bytes"] < 2 << 20
    assert stats["works"] and stats["load_failures"] == 0
    said = [line for line in server.lines if "nothing is written to the disk tier" in line]
    assert len(said) == 1 and "No space left on device" in said[0]
