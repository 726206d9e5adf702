"""Where a cluster's client asks: nodes that only answer what the test wants."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ConnectionError

from dialer.edges.redis_cluster import ClusterRedis
from tests.support.waiting import eventually


@dataclass
class Nodes:
    """Each keeps everything, by the map of the moment. `down` fail, but not before they are let go."""

    owner: str
    down: set[str] = field(default_factory=set)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def connect(self, host: str, port: int) -> Any:
        return Node(self, host)


@dataclass
class Node:
    nodes: Nodes
    host: str

    async def execute_command(self, command: str) -> Any:
        return [[0, 16383, [self.nodes.owner, 1]]]

    async def publish(self, channel: str, text: str) -> None:
        self.nodes.asked.append(text)
        if self.host in self.nodes.down:
            await self.nodes.let_go.wait()
            raise ConnectionError
        self.nodes.heard.append(text)

    async def aclose(self) -> None: ...


async def test_a_map_that_changes_while_a_word_waits_costs_no_more_than_the_word() -> None:
    """One who publishes never ends by it: whoever tells hints would be silent until its process ends."""
    nodes = Nodes("old", down={"old"})
    client = ClusterRedis([("old", 1)], nodes.connect)
    waiting = [asyncio.create_task(client.publish("c", text)) for text in "ab"]
    await eventually(lambda: nodes.asked == ["a", "b"])
    nodes.owner = "new"
    client._doubt(at_once=True)
    await eventually(lambda: client.home("x") == "new:1")
    await client.publish("c", "c")
    assert nodes.heard == ["c"]
    nodes.let_go.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError]
    await client.publish("c", "d")
    assert nodes.heard == ["c", "d"]
    await client.aclose()
