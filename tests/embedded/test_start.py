"""Embedded servers start, answer, keep their data and are set up as the dialer needs them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dialer.embedded import EmbeddedServersError, start
from tests.embedded.keepers import addresses, keeper_process, redis_command, sql, state_of
from tests.support.processes import alive
from tests.support.waiting import eventually_sync


async def test_both_servers_answer_and_a_warm_start_finds_the_data(directory: Path) -> None:
    servers = await asyncio.to_thread(start, directory, fsync=False)
    await sql(servers.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    redis_command(servers.redis_url, "SET", "kept", "8")
    await asyncio.to_thread(servers.close)

    with start(directory, fsync=False) as again:
        assert await sql(again.dsn, "SELECT number FROM kept") == 7
        assert redis_command(again.redis_url, "GET", "kept") == b"8"


@pytest.mark.parametrize("fsync", [True, False])
async def test_the_servers_are_set_up_as_the_dialer_needs_them(directory: Path, fsync: bool) -> None:
    with start(directory, fsync=fsync) as servers:
        assert await sql(servers.dsn, "SHOW fsync") == ("on" if fsync else "off")
        assert await sql(servers.dsn, "SHOW synchronous_commit") == "on"
        assert await sql(servers.dsn, "SHOW listen_addresses") == ""
        assert int(await sql(servers.dsn, "SHOW max_connections")) >= 200
        provider = "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()"
        assert await sql(servers.dsn, provider) == "bC.UTF-8"

        settings = redis_command(servers.redis_url, "CONFIG GET", "*")
        assert settings["port"] == "0"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == ("everysec" if fsync else "no")

        sockets = state_of(directory).sockets
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert max(len(str(path)) for path in sockets.iterdir()) < 80


def test_the_servers_do_not_see_our_secrets(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc").exists():
        pytest.skip("reads /proc")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "a-secret")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    with start(directory, fsync=False):
        state = state_of(directory)
        for pid in (state.postgres, state.valkey):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"a-secret" not in environment
            assert b"PGOPTIONS" not in environment


def test_a_second_keeper_on_a_directory_is_told_who_has_it(directory: Path) -> None:
    with start(directory, fsync=False) as servers:
        with pytest.raises(
            EmbeddedServersError, match=rf"in use by another keeper \(process {servers.process.pid}\)"
        ):
            start(directory, fsync=False)
        assert redis_command(servers.redis_url, "PING") is True


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    start(directory, fsync=False).close()
    (directory / "postgres" / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServersError, match=r"postgres did not start(.|\n)*no_such_setting"):
        start(directory, fsync=False)


def test_a_directory_that_cannot_be_written_is_an_error(directory: Path) -> None:
    (directory / "file").write_text("")
    with pytest.raises(EmbeddedServersError, match="name another directory"):
        start(directory / "file" / "data")


def test_a_cluster_whose_making_was_cut_short_is_not_taken_as_good(directory: Path) -> None:
    with keeper_process(directory) as process:
        eventually_sync((directory / "postgres.unfinished" / "PG_VERSION").exists, interval=0.001)
        process.kill()
        process.wait()
    assert not (directory / "postgres").exists()

    with start(directory, fsync=False) as servers:
        assert asyncio.run(sql(servers.dsn, "SELECT 1")) == 1
    assert not (directory / "postgres.unfinished").exists()


def test_another_user_than_root_owns_root_s_servers(directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("for root only")
    with start(directory, fsync=False):
        state = state_of(directory)
        for pid in (state.postgres, state.valkey):
            owner = subprocess.run(
                ["ps", "-o", "user=", "-p", str(pid)], capture_output=True, text=True, check=True
            )
            assert owner.stdout.strip() == "nobody"


# The interpreter itself may lie where another user cannot go: everything is imported before the change.
AS_NOBODY = """
import os, sys, encodings.idna, dialer.embedded.__main__ as keeper
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(keeper.main(sys.argv[1:]))
"""


def test_an_ordinary_user_can_run_it(directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the other tests are run by an ordinary user already")
    os.chown(directory, 65534, 65534)
    with keeper_process(directory, ["-c", AS_NOBODY]) as process:
        dsn, redis_url = addresses(process)
        assert asyncio.run(sql(dsn, "SELECT 1")) == 1
        assert redis_command(redis_url, "PING") is True
        state = state_of(directory)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert state.all_gone()
    assert sys.platform != "linux" or not alive(state.postgres)
