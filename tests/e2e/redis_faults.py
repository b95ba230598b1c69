"""What may happen to a Redis, on real processes: how it is set up, broken and repaired."""

import time

from redis_groups import Cluster, Watched, until
from redis_server import RedisServer, SlowLink


class Fault:
    name = ""
    arguments = ()  # of redis-server
    flags = ()  # of the instances
    keeps_entries = True  # whatever was stored before is still there after the repair
    max_stale_s = 0

    def set_up(self):
        self.redis = RedisServer(*self.arguments)
        self.url = self.redis.url

    def keeper(self):
        """The server whose entries count."""
        return self.redis

    def break_down(self):
        raise NotImplementedError

    def repair(self):
        raise NotImplementedError

    def tear_down(self):
        if hasattr(self, "redis"):
            self.redis.remove()


class Killed(Fault):
    name = "killed, back empty"
    keeps_entries = False

    def break_down(self):
        self.redis.kill()

    def repair(self):
        self.redis.start()


class Hung(Fault):
    name = "hung (SIGSTOP)"

    def break_down(self):
        self.redis.pause()

    def repair(self):
        self.redis.resume()


class Slow(Fault):
    name = "slow (200 ms added)"

    def set_up(self):
        super().set_up()
        self.link = SlowLink(self.redis.port)
        self.url = self.link.url

    def break_down(self):
        self.link.delay_s = 0.2

    def repair(self):
        self.link.delay_s = 0.0

    def tear_down(self):
        if hasattr(self, "link"):
            self.link.close()
        super().tear_down()


class Full(Fault):
    name = "full (maxmemory, noeviction)"

    def break_down(self):
        self.redis.ask("CONFIG", "SET", "maxmemory", "1mb")

    def repair(self):
        self.redis.ask("CONFIG", "SET", "maxmemory", "0")


class RestartedEmpty(Fault):
    name = "restarted empty"
    keeps_entries = False

    def break_down(self):
        self.redis.kill()
        self.redis.start()

    def repair(self):
        pass


class RestartedWithData(RestartedEmpty):
    name = "restarted with its data"
    arguments = ("--appendonly", "yes", "--appendfsync", "always")
    keeps_entries = True


class CutOff(Hung):
    name = "hung for longer than --cache-max-stale-s"
    flags = ("--cache-max-stale-s", "1")
    max_stale_s = 1


class FailedOver(Fault):
    """The master is killed; the Sentinels make its replica the master, and the old one comes back as a replica."""
    name = "failed over (Sentinel)"

    def set_up(self):
        self.redis = Watched()
        self.redis.wait_ready()
        self.url = self.redis.url

    def keeper(self):
        return self.redis.servers[1]  # what it has got when the master dies is kept

    def break_down(self):
        self.redis.servers[0].kill()

    def repair(self):
        until(lambda: self.redis.master == self.redis.servers[1])
        self.redis.servers[0].start()


class HungMaster(FailedOver):
    """The master hangs and wakes up when another one is master, which it is told by the Sentinels after a moment."""
    name = "hung and failed over (Sentinel)"

    def break_down(self):
        self.redis.servers[0].pause()

    def repair(self):
        until(lambda: self.redis.master == self.redis.servers[1])
        self.redis.servers[0].resume()


class ClusterFailedOver(Fault):
    """The node with our keys is killed, and its replica promotes itself."""
    name = "failed over (cluster)"

    def set_up(self):
        self.redis = Cluster()
        self.url = self.redis.url
        self.old, self.replica = self.redis.owner(), self.redis.nodes[3]

    def keeper(self):
        return self.replica

    def break_down(self):
        self.old.kill()

    def repair(self):
        until(lambda: self.redis.owner() == self.replica)


class ClusterMoved(Fault):
    """Our slot moves to another node, slowly."""
    name = "slot moved (cluster)"

    def set_up(self):
        self.redis = Cluster(replica=False)
        self.url = self.redis.url
        self.target = next(n for n in self.redis.nodes if n is not self.redis.owner())

    def keeper(self):
        return self.target

    def break_down(self):
        self.redis.move_slot(self.target, between=lambda: time.sleep(1))

    def repair(self):
        pass


FAULTS = [Killed, Hung, Slow, Full, RestartedEmpty, RestartedWithData, CutOff, FailedOver, HungMaster, ClusterFailedOver,
          ClusterMoved]
