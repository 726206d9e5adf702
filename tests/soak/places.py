"""Where the soak's Redis and Postgres are: one Valkey or a cluster of three; Postgres itself or PgBouncer before it.

Each way that acts break lies between our processes and what they talk to first.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from redis.asyncio import Redis

from tests.support.pooler import Pooler
from tests.support.proxy import Proxy, proxy_before
from tests.support.redises import HOST, Cluster, Valkey, cluster_node, form, free_port, running
from tests.support.servers import reachable_directory
from tests.system.proxied import OwnServers

RedisKind = Literal["one", "cluster"]
DatabaseKind = Literal["direct", "pgbouncer"]
POOLED_CONNECTIONS = 20
NODES = 3


@dataclass(frozen=True)
class Kinds:
    """What a soak is to run on."""

    redis: RedisKind = "one"
    database: DatabaseKind = "direct"


@dataclass
class Ways:
    """What Proxy does, done to some of several; mending is done to all."""

    proxies: list[Proxy]
    chance: random.Random

    def _some(self) -> list[Proxy]:
        return self.chance.sample(self.proxies, self.chance.randint(1, len(self.proxies)))

    async def pass_all(self) -> None:
        for proxy in self.proxies:
            await proxy.pass_all()

    def cut(self) -> None:
        for proxy in self._some():
            proxy.cut()

    async def refuse(self) -> None:
        for proxy in self._some():
            await proxy.refuse()

    def freeze(self) -> None:
        for proxy in self._some():
            proxy.freeze()

    def swallow(self, *, answers_only: bool = False) -> None:
        for proxy in self._some():
            proxy.swallow(answers_only=answers_only)

    def delay(self, seconds: float) -> None:
        for proxy in self._some():
            proxy.delay(seconds)

    def forget(self) -> None:
        for proxy in self._some():
            proxy.forget()

    def bury(self) -> None:
        for proxy in self.proxies:
            proxy.bury()


class SoakedRedis(Protocol):
    """`url` leads through `way`; what is asked of the others goes past it."""

    way: Ways
    url: str

    def kill(self) -> None:
        """One server, at once. It comes again by itself."""

    def pause(self) -> Callable[[], None]:
        """Let one stand still; what is returned lets it go on."""

    def clients(self) -> list[Redis]:
        """One for each server, to be closed by whoever asked."""

    def pids(self) -> list[int]: ...


@dataclass
class OneValkey:
    """The Valkey of the keeper, which starts it again."""

    servers: OwnServers
    way: Ways
    url: str

    def kill(self) -> None:
        self.servers.send("valkey", signal.SIGKILL)

    def pause(self) -> Callable[[], None]:
        pid = self.servers.pid("valkey")
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)

    def clients(self) -> list[Redis]:
        return [Redis.from_url(self.servers.redis_url)]

    def pids(self) -> list[int]:
        return [self.servers.pid("valkey")]


@dataclass
class ValkeyCluster:
    """Three nodes, none with a replica: what dies is lost, and comes back empty."""

    nodes: list[Valkey]
    way: Ways
    chance: random.Random
    url: str = field(init=False)

    def __post_init__(self) -> None:
        hosts = ",".join(f"{HOST}:{_port(proxy)}" for proxy in self.way.proxies)
        self.url = f"redis+cluster://{hosts}"

    def kill(self) -> None:
        node = self.chance.choice(self.nodes)
        node.kill()
        node.start()

    def pause(self) -> Callable[[], None]:
        node = self.chance.choice(self.nodes)
        node.send(signal.SIGSTOP)
        return lambda: node.send(signal.SIGCONT)

    def clients(self) -> list[Redis]:
        return [Redis(host=HOST, port=node.port) for node in self.nodes]

    def pids(self) -> list[int]:
        return [node.process.pid for node in self.nodes if node.process is not None]


@asynccontextmanager
async def soaked_redis(kind: RedisKind, servers: OwnServers, chance: random.Random) -> AsyncIterator[SoakedRedis]:
    if kind == "one":
        async with proxy_before(servers.redis_url) as proxy:
            yield OneValkey(servers, Ways([proxy], chance), proxy.url)
        return
    async with AsyncExitStack() as stack:
        home = stack.enter_context(reachable_directory(durable=False))
        ports = [free_port() for _ in range(NODES)]
        # Nodes tell clients of each other by the addresses of the ways, so that none goes past them.
        proxies = [await stack.enter_async_context(proxy_before(f"redis://{HOST}:{port}")) for port in ports]
        nodes = [
            cluster_node(home / f"node-{n}", port, _port(proxy))
            for n, (port, proxy) in enumerate(zip(ports, proxies, strict=True))
        ]
        await stack.enter_async_context(running(*nodes))
        await form(Cluster(tuple(nodes)))
        yield ValkeyCluster(nodes, Ways(proxies, chance), chance)


@contextmanager
def before_postgres(kind: DatabaseKind, dsn: str, home: Path) -> Iterator[tuple[str, Pooler | None]]:
    """Yields the DSN to use, and the pooler that it leads through, if any."""
    if kind == "direct":
        yield dsn, None
        return
    with Pooler(dsn, home, size=POOLED_CONNECTIONS).running() as pooler:
        yield pooler.dsn, pooler


def _port(proxy: Proxy) -> int:
    port = urlsplit(proxy.url).port
    assert port is not None
    return port
