"""What may happen to a Redis, on real processes: how it is set up, broken and repaired."""


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


FAULTS = [Killed, Hung, Slow, Full, RestartedEmpty, RestartedWithData, CutOff]
