"""Valkey as it is run in earnest: a cluster, and a master with replica and Sentinel. Over TLS: see secured.py.

The servers are children of the test process and die with it. Each keeps its port when it is killed and started again.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from dialer.edges.redis_client import RedisClient
from dialer.embedded.binaries import find_binaries
from dialer.embedded.servers import spawn
from tests.support.waiting import eventually

# A node or master is given up after so long; in life it is rather fifteen seconds.
GIVEN_UP_AFTER_MS = 1000
SLOTS = 16384
MASTER = "themaster"
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Valkey:
    """One server process, started anew at the same port as often as it is wanted."""

    home: Path
    port: int = field(default_factory=free_port)
    options: Mapping[str, str] = field(default_factory=dict)
    mode: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        command = [str(find_binaries(self.home, None).valkey), *self.mode]
        told = {"port": str(self.port), "dir": str(self.home), "bind": HOST, "loglevel": "warning", **self.options}
        for name, value in told.items():
            command += [f"--{name}", *value.split(" ")]
        with (self.home / "valkey.log").open("ab") as log:
            self.process = spawn(command, self.home, None, signal.SIGKILL, log.fileno())

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once; it must run."""
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    async def asked(self, *command: str | int) -> Any:
        """What it answers, once it answers at all."""

        async def answer() -> tuple[Any] | None:
            try:
                async with Redis(host=HOST, port=self.port, decode_responses=True, socket_timeout=2) as client:
                    return (await client.execute_command(*command),)  # type: ignore[no-untyped-call]
            except (RedisError, OSError):
                return None

        told = await eventually(answer, timeout=15)
        assert told is not None
        return told[0]


@contextlib.asynccontextmanager
async def running(*servers: Valkey) -> AsyncIterator[None]:
    """They run, and do not at the end."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.send(signal.SIGCONT)
                server.kill()


# -- a cluster --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """`nodes`: the primaries at first, in the order of their hash slots; `replica`, if any, follows the first."""

    nodes: tuple[Valkey, ...]
    replica: Valkey | None = None

    @property
    def everybody(self) -> tuple[Valkey, ...]:
        return self.nodes if self.replica is None else (*self.nodes, self.replica)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)


def cluster_node(home: Path, port: int | None = None, announced_port: int | None = None) -> Valkey:
    """`announced_port`: where clients are told to find it."""
    port = port or free_port()
    options = {
        "cluster-enabled": "yes",
        "cluster-port": str(free_port()),
        "cluster-node-timeout": str(GIVEN_UP_AFTER_MS),
        # Those whose keys are elsewhere go on while a node is away.
        "cluster-require-full-coverage": "no",
        "cluster-announce-ip": HOST,
        "cluster-announce-port": str(announced_port or port),
        "repl-diskless-sync-delay": "0",
        "save": "",
    }
    return Valkey(home, port, options)


@contextlib.asynccontextmanager
async def cluster(home: Path, *, replica: bool = False) -> AsyncIterator[Cluster]:
    """Three primaries, and perhaps a replica of the first."""
    nodes = tuple(cluster_node(home / f"node-{n}") for n in range(3))
    made = Cluster(nodes, cluster_node(home / "replica") if replica else None)
    async with running(*made.everybody):
        await form(made)
        yield made


async def form(made: Cluster) -> None:
    """Servers that know nothing of each other become a cluster."""
    share = -(-SLOTS // len(made.nodes))
    for n, node in enumerate(made.nodes):
        await node.asked("CLUSTER SET-CONFIG-EPOCH", n + 1)
        await node.asked("CLUSTER ADDSLOTSRANGE", n * share, min((n + 1) * share, SLOTS) - 1)
    first = made.nodes[0]
    for node in made.everybody[1:]:
        await first.asked("CLUSTER MEET", HOST, node.port, int(node.options["cluster-port"]))
    for node in made.everybody:
        await eventually(lambda node=node: _knows(node, len(made.everybody)), timeout=20)  # type: ignore[misc]
    if made.replica is not None:
        await made.replica.asked("CLUSTER REPLICATE", await first.asked("CLUSTER MYID"))
        await eventually(lambda: _is_in_step(made.replica), timeout=20)


async def _knows(node: Valkey, others: int) -> bool:
    info = await node.asked("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(others))


async def _is_in_step(replica: Valkey | None) -> bool:
    assert replica is not None
    return bool((await replica.asked("INFO", "replication")).get("master_link_status") == "up")


# -- a master that a Sentinel watches ---------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """A master, its replica, and the Sentinel that promotes the replica when the master is away."""

    master: Valkey
    replica: Valkey
    sentinel: Valkey

    @property
    def url(self) -> str:
        # The first is a Sentinel that is away, as one of several may be.
        return f"redis+sentinel://{HOST}:1,{HOST}:{self.sentinel.port}/{MASTER}/0"

    async def master_port(self) -> int:
        """As the Sentinel has it now."""
        return int((await self.sentinel.asked("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER))[1])

    async def fail_over(self) -> None:
        """Kill the master; returns when the replica has taken its place."""
        self.master.kill()

        async def promoted() -> bool:
            return (await self.replica.asked("ROLE"))[
                0
            ] == "master" and await self.master_port() == self.replica.port

        await eventually(promoted, timeout=20)


@contextlib.asynccontextmanager
async def watched(home: Path) -> AsyncIterator[Watched]:
    master = Valkey(home / "master", options={"save": "", "repl-diskless-sync-delay": "0"})
    replica = Valkey(home / "replica", options={"save": "", "replicaof": f"{HOST} {master.port}"})
    config = home / "sentinel.conf"
    config.write_text(
        f"sentinel monitor {MASTER} {HOST} {master.port} 1\n"
        f"sentinel down-after-milliseconds {MASTER} {GIVEN_UP_AFTER_MS}\n"
        f"sentinel failover-timeout {MASTER} 5000\n"
    )
    sentinel = Valkey(home / "sentinel", mode=(str(config), "--sentinel"))
    async with running(master, replica):
        await eventually(lambda: _is_in_step(replica), timeout=20)
        async with running(sentinel):
            made = Watched(master, replica, sentinel)
            # It learns of replicas from the master, and can promote only those that it knows.
            await eventually(lambda: sentinel.asked("SENTINEL REPLICAS", MASTER), timeout=20)
            yield made


# -- looking in -------------------------------------------------------------------------------------------


async def held_slots(redis: RedisClient) -> dict[str, list[str]]:
    """Key of a business -> its slots that are taken; of every business whose generation is there."""
    return {
        key: [slot for slot in await redis.hgetall(key) if slot != "generation"]
        for key in await redis.keys("dialer:*:held")
    }
