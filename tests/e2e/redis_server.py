"""A real redis-server for one test: on a free port of the loopback, with a directory of its own."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time

from conftest import free_ports


class RedisServer:
    def __init__(self, *arguments):
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}"
        self.dir = tempfile.mkdtemp(prefix="nextgate-redis-")
        self.arguments = arguments
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.dir, "--save", "",
             "--logfile", f"{self.dir}/log", *self.arguments])
        deadline = time.monotonic() + 20
        while self.command("PING") is None:  # a password is asked for, or not
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def command(self, *words):
        """The first line of the reply; None if nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                s.sendall(b"*%d\r\n" % len(words) + b"".join(
                    b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(w).encode() for w in words)))
                return s.makefile("rb").readline().rstrip()
        except OSError:
            return None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
