"""Real redis-servers for one test: on free ports of the loopback, with directories of their own."""

import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from conftest import free_ports


def read_reply(stream):
    """One reply of Redis: bytes, an int, None, a list, or a RuntimeError with its text."""
    line = stream.readline()
    if not line:
        raise OSError("Redis closed the connection")
    kind, rest = line[:1], line[1:].rstrip()
    if kind == b"-":
        return RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [read_reply(stream) for _ in range(int(rest))]
    return rest


def wire(*words):
    """A command in Redis' protocol."""
    encoded = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded)


class RedisServer:
    def __init__(self, *arguments, port=None, password=None):
        self.port = port or free_ports(1)[0]
        self.password = password
        self.url = f"redis://127.0.0.1:{self.port}"
        self.dir = tempfile.mkdtemp(prefix="nextgate-redis-")
        self.arguments = arguments
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.dir, "--save", "",
             "--logfile", f"{self.dir}/log", *self.arguments])
        deadline = time.monotonic() + 20
        while self.command("PING") in (None, b"-LOADING Redis is loading the dataset in memory"):
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def command(self, *words):
        """The first line of the reply; None if nobody answers."""
        try:
            return self._send(words, lambda stream: stream.readline().rstrip())
        except OSError:
            return None

    def ask(self, *words):
        """The whole reply. Errors: RuntimeError (Redis refuses), OSError (nobody answers)."""
        reply = self._send(words, read_reply)
        if isinstance(reply, RuntimeError):
            raise reply
        return reply

    def _send(self, words, read):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            stream = s.makefile("rb")
            if self.password:
                s.sendall(wire("AUTH", self.password))
                read_reply(stream)
            s.sendall(wire(*words))
            return read(stream)

    def keys(self, pattern):
        return set(self.ask("KEYS", pattern))

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


class SlowLink:
    """A TCP proxy before a server that keeps what comes, in either direction, back for `delay_s`."""

    def __init__(self, port):
        self.target = port
        self.delay_s = 0.0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for s in (client, server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                if self.delay_s > 0:
                    time.sleep(self.delay_s / 2)  # the other half on the way back
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
