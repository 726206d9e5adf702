"""What the tests of the keeper look at."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import redis

from tests.support.processes import alive

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class State:
    """What a running keeper wrote about itself."""

    keeper: int
    postgres: int
    valkey: int
    sockets: Path

    def all_gone(self) -> bool:
        return not any(alive(pid) for pid in (self.keeper, self.postgres, self.valkey))


def state_of(home: Path) -> State:
    state = json.loads((home / "keeper.json").read_text())
    return State(state["keeper"], state["postgres"], state["valkey"], Path(state["sockets"]))


@contextlib.contextmanager
def keeper_process(directory: Path, program: list[str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m dialer.embedded DIRECTORY`, or another program that does the same; killed at the end."""
    command = [sys.executable, *(program or ["-m", "dialer.embedded"]), str(directory), "--fsync", "off"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def addresses(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """The DSN and the Redis URL that a keeper prints."""
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert set(line) == {"dsn", "redis"}
    return line["dsn"], line["redis"]


async def sql(dsn: str, statement: str) -> Any:
    """The first value that a statement gives."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def redis_command(url: str, *command: str) -> Any:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
