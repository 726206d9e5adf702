"""Nothing of the embedded servers outlives whoever started them, however that one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from dialer.embedded import EmbeddedServers, start
from tests.embedded.keepers import REPOSITORY, addresses, keeper_process, redis_command, sql, state_of
from tests.support.processes import alive
from tests.support.waiting import eventually, eventually_sync

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")


def test_closing_stops_both_and_leaves_nothing(directory: Path) -> None:
    servers = start(directory, fsync=False)
    state = state_of(directory)
    servers.close()
    servers.close()
    assert servers.process.returncode == 0
    assert state.all_gone()
    assert not state.sockets.exists()
    assert not (directory / "keeper.json").exists()
    assert not (directory / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_both(directory: Path, number: signal.Signals) -> None:
    with keeper_process(directory) as process:
        addresses(process)
        state = state_of(directory)
        process.send_signal(number)
        assert process.wait(15) == 0
    assert state.all_gone()
    assert not state.sockets.exists()


async def test_an_open_connection_does_not_hold_up_the_stop(directory: Path) -> None:
    servers = start(directory, fsync=False)
    connection = await asyncpg.connect(servers.dsn)
    await connection.execute("BEGIN; SELECT 1")
    servers.close()
    assert servers.process.returncode == 0
    connection.terminate()


def test_a_request_to_stop_while_starting_is_heard(directory: Path) -> None:
    with keeper_process(directory) as process:
        eventually_sync((directory / "postgres.unfinished").exists, interval=0.001)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(15) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert not (directory / "keeper.json").exists()


PARENT = """
import sys
from dialer.embedded import start
servers = start(sys.argv[1], fsync=False)
print("started", flush=True)
sys.stdin.read()
"""


def test_kill_9_of_the_parent_stops_both(directory: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(directory)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        state = state_of(directory)
        parent.kill()
    eventually_sync(state.all_gone, timeout=15)
    assert not state.sockets.exists()


@needs_linux
async def test_kill_9_of_the_keeper_ends_both_and_the_next_start_clears_up(directory: Path) -> None:
    servers = start(directory, fsync=False)
    await sql(servers.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    redis_command(servers.redis_url, "SET", "kept", "8")
    state = state_of(directory)
    servers.process.kill()
    servers.process.wait()
    await eventually(state.all_gone, timeout=15)
    servers.close()
    assert state.sockets.exists()

    with start(directory, fsync=False) as again:
        assert not state.sockets.exists()
        assert await sql(again.dsn, "SELECT number FROM kept") == 7
        assert redis_command(again.redis_url, "GET", "kept") == b"8"


async def test_servers_that_outlived_their_keeper_are_ended_by_the_next(directory: Path) -> None:
    servers = start(directory, fsync=False)
    await sql(servers.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    state = state_of(directory)
    # Stopped, it cannot heed the signal by which the kernel tells it that the keeper died.
    os.kill(state.postgres, signal.SIGSTOP)
    servers.process.kill()
    servers.process.wait()
    servers.close()
    assert alive(state.postgres)

    with start(directory, fsync=False) as again:
        assert not alive(state.postgres)
        assert await sql(again.dsn, "SELECT number FROM kept") == 7


async def test_kill_9_of_a_server_and_it_is_back_at_the_same_address(directory: Path) -> None:
    with start(directory, fsync=False) as servers:
        await sql(servers.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
        redis_command(servers.redis_url, "SET", "kept", "8")
        before = state_of(directory)
        for pid in (before.postgres, before.valkey):
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: _both_new(directory, before.postgres, before.valkey), timeout=20)
        assert await sql(servers.dsn, "SELECT number FROM kept") == 7
        assert redis_command(servers.redis_url, "GET", "kept") == b"8"


def test_a_server_that_keeps_dying_ends_the_keeper(directory: Path) -> None:
    servers = start(directory, fsync=False)
    state = _kill_valkey_until_given_up(directory, servers)
    servers.close()
    assert servers.process.returncode == 1
    assert not alive(state)
    assert "valkey keeps dying" in (directory / "keeper.log").read_text()


def _kill_valkey_until_given_up(directory: Path, servers: EmbeddedServers) -> int:
    postgres = state_of(directory).postgres
    killed = [0]
    for _ in range(4):
        killed.append(eventually_sync(lambda: _other_valkey(directory, killed[-1]), timeout=20) or 0)
        os.kill(killed[-1], signal.SIGKILL)
    servers.process.wait(20)
    return postgres


def _other_valkey(directory: Path, before: int) -> int | None:
    pid = state_of(directory).valkey
    return pid if pid != before else None


def _both_new(directory: Path, postgres: int, valkey: int) -> bool:
    state = state_of(directory)
    return state.postgres != postgres and state.valkey != valkey
