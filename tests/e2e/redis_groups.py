"""Several Redis processes that belong together: a master with a replica and Sentinels, and a cluster of three nodes."""

import pathlib
import subprocess
import time

from conftest import free_ports
from redis_server import RedisServer


def until(condition, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def info(server, name, section="replication"):
    try:
        lines = server.ask("INFO", section).decode().splitlines()
    except (OSError, RuntimeError):
        return None
    return next((line.split(":", 1)[1] for line in lines if line.startswith(name + ":")), None)


class Sentinel(RedisServer):
    """One Sentinel that watches the master at a port."""

    def __init__(self, master, *settings, password=None):
        self.settings = [f"sentinel monitor ours 127.0.0.1 {master} 2", "sentinel down-after-milliseconds ours 500",
                         "sentinel failover-timeout ours 3000", *settings]
        super().__init__(password=password)

    def start(self):
        file = pathlib.Path(self.dir) / "sentinel.conf"
        if not file.exists():  # the Sentinel keeps what it learns there
            file.write_text("\n".join([f"port {self.port}", "bind 127.0.0.1", f"dir {self.dir}", f"logfile {self.dir}/log",
                                       *self.settings, ""]))
        self.process = subprocess.Popen(["redis-server", str(file), "--sentinel"])
        until(lambda: self.command("PING") is not None)


class Watched:
    """A master and a replica, and three Sentinels that watch over them. `tls`: settings with which all speak TLS to each
    other and to clients, on ports of their own."""

    def __init__(self, *arguments, settings=(), password=None, tls=None):
        self.public = {}  # server → the port that the others know
        tls_words = [word for name, value in (tls or {}).items() for word in (f"--{name}", str(value))]
        ports, publics = free_ports(2), free_ports(2)
        master = publics[0] if tls else ports[0]
        self.servers = []
        for i, (port, public) in enumerate(zip(ports, publics)):
            words = [*arguments, *tls_words, *(["--tls-port", str(public)] if tls else []),
                     *(["--replicaof", "127.0.0.1", str(master)] if i else [])]
            self.servers.append(RedisServer(*words, port=port, password=password))
            self.public[self.servers[-1]] = public if tls else port
        self.sentinels = []
        for public in free_ports(3):
            words = [*settings, *(f"{name} {value}" for name, value in (tls or {}).items()),
                     *([f"tls-port {public}"] if tls else [])]
            self.sentinels.append(Sentinel(master, *words, password=password))
            self.public[self.sentinels[-1]] = public if tls else self.sentinels[-1].port
        self.url = ("rediss" if tls else "redis") + "+sentinel://" + ",".join(
            f"127.0.0.1:{self.public[s]}" for s in self.sentinels) + "/ours"

    def wait_ready(self):
        """Until the replica has what the master has, and the Sentinels know each other and both."""
        until(lambda: self.master is not None)
        replica = next(s for s in self.servers if s is not self.master)
        until(lambda: info(replica, "master_link_status") == "up")
        for sentinel in self.sentinels:
            until(lambda: self._said(sentinel, b"num-other-sentinels") == b"2" and
                  self._said(sentinel, b"num-slaves") == b"1" and self._said(sentinel, b"flags") == b"master")

    @staticmethod
    def _said(sentinel, name):
        words = sentinel.ask("SENTINEL", "MASTER", "ours")
        return words[words.index(name) + 1]

    @property
    def master(self):
        """The one that the Sentinels agree on and that says so itself."""
        said = {tuple(s.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "ours")) for s in self.sentinels}
        if len(said) != 1:
            return None
        port = int(said.pop()[1])
        server = next(s for s in self.servers if self.public[s] == port)
        return server if info(server, "role") == "master" else None

    def remove(self):
        for server in (*self.sentinels, *self.servers):
            server.remove()


class Cluster:
    """Three nodes with a third of the slots each, and a replica of the one that has `key`."""

    def __init__(self, *arguments, key="{nextgate}:generation", replica=True):
        buses = free_ports(4 if replica else 3)
        self.nodes = [RedisServer("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", str(bus),
                                  *arguments) for bus in buses]
        masters = self.nodes[:3]
        for i, node in enumerate(masters):
            node.ask("CLUSTER", "ADDSLOTSRANGE", i * 5461, 16383 if i == 2 else (i + 1) * 5461 - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, buses[0])
        for node in self.nodes:
            until(lambda: info_cluster(node, "cluster_state") == "ok" and
                  info_cluster(node, "cluster_known_nodes") == str(len(self.nodes)))
        self.slot = masters[0].ask("CLUSTER", "KEYSLOT", key)
        if replica:
            self.nodes[3].ask("CLUSTER", "REPLICATE", self.id(self.owner()))
            until(lambda: info(self.nodes[3], "master_link_status") == "up")
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{n.port}" for n in masters)

    @staticmethod
    def id(node):
        return node.ask("CLUSTER", "MYID").decode()

    def owner(self):
        """The node that has our slot, as a node says that is not dead."""
        for node in self.nodes:
            if node.process.poll() is not None:
                continue
            for first, last, master, *_ in node.ask("CLUSTER", "SLOTS"):
                if first <= self.slot <= last:
                    return next(n for n in self.nodes if n.port == master[1])
        return None

    def move_slot(self, target, between=lambda: None):
        """Moves our slot to another node as redis-cli does, calling `between` when a part of the keys has gone."""
        source = self.owner()
        target.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.id(source))
        source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.id(target))
        called = False
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 20):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS",
                       *(key.decode() for key in keys))
            if not called:
                between()
                called = True
        for node in (target, source, *(n for n in self.nodes[:3] if n not in (source, target))):
            node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", self.id(target))

    def remove(self):
        for node in self.nodes:
            node.remove()


def info_cluster(node, name):
    lines = node.ask("CLUSTER", "INFO").decode().splitlines()
    return next((line.split(":", 1)[1] for line in lines if line.startswith(name + ":")), None)
