"""`dialer serve`, what containers run: roles, signals, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from dialer.cli.ports import free_port
from tests.cli.running import command, descendants, dialer, line_with, processes_of, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def settings(database: str, redis_url: str, data_dir: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "DIALER_DATA_DIR": str(data_dir),
        "DIALER_ADMIN_TOKEN": "operator",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_API_BASE_URL": "http://127.0.0.1:1",
        "CONTROL_PORT": str(free_port("127.0.0.1")),
    }


async def test_both_are_served_and_probed_and_the_daemon_stops_first(settings: dict[str, str]) -> None:
    settings |= {"HEARTBEAT_INTERVAL_SECONDS": "0.4", "TAKEOVER_AFTER_SECONDS": "1.5"}

    async def probe() -> int:
        return (await dialer("healthcheck", "--ready", more=settings)).code

    async def well() -> bool:
        return await probe() == 0

    async def ill() -> bool:
        return await probe() == 1

    async with running("serve", more=settings) as process:
        await _both_are_up(process)
        await eventually(well, timeout=10)
        [daemon] = [pid for pid in descendants(process.pid) if "-m dialer " in command(pid)]
        os.kill(daemon, signal.SIGSTOP)
        await eventually(ill, timeout=10, description="control alone is not all")
        os.kill(daemon, signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    words = out.decode()
    assert -1 < words.index("STOPPED") < words.index("SHUTDOWN")
    assert processes_of(settings["DIALER_DATA_DIR"]) == {}


@pytest.mark.parametrize("module", ["-m dialer ", "-m control "])
async def test_when_one_dies_the_other_is_stopped_and_its_exit_code_is_ours(
    settings: dict[str, str], module: str
) -> None:
    async with running("serve", more=settings) as process:
        await _both_are_up(process)
        [victim] = [pid for pid in descendants(process.pid) if module in command(pid)]
        os.kill(victim, signal.SIGKILL)
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 128 + signal.SIGKILL
    assert "has ended by itself (SIGKILL)" in err.decode()
    assert processes_of(settings["DIALER_DATA_DIR"]) == {}


@pytest.mark.parametrize(("role", "module"), [("worker", "-m dialer "), ("api", "-m control ")])
async def test_a_single_role_takes_our_place(settings: dict[str, str], role: str, module: str) -> None:
    async with running("serve", more=settings, SERVICE_ROLE=role) as process:
        await line_with(process.stdout, "STARTUP")
        assert module in command(process.pid)
        assert descendants(process.pid) == []
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


async def test_kill_9_takes_both_along(settings: dict[str, str]) -> None:
    async with running("serve", more=settings) as process:
        await _both_are_up(process)
        assert len(descendants(process.pid)) == 2
        process.kill()
        await process.wait()
        await eventually(lambda: processes_of(settings["DIALER_DATA_DIR"]) == {}, timeout=10)


@pytest.mark.parametrize("role", ["all", "api", "worker"])
async def test_what_is_missing_is_named(role: str) -> None:
    said = await dialer("serve", SERVICE_ROLE=role)
    assert said.code == 2
    for name in ("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN"):
        assert f"{name}: must be set" in said.err


async def test_migrate_tells_and_brings_the_schema(empty_database: str) -> None:
    assert (await dialer("migrate", "--check", DATABASE_URL=empty_database)).code == 1
    assert (await dialer("migrate", "--strict", DATABASE_URL=empty_database)).code == 0
    checked = await dialer("migrate", "--check", DATABASE_URL=empty_database)
    assert (checked.code, checked.out.split(":")[0]) == (0, "current")
    assert (await dialer("migrate")).code == 2


async def _both_are_up(process: asyncio.subprocess.Process) -> None:
    for _ in range(2):
        await line_with(process.stdout, '"STARTUP"')
