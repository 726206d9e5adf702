"""`dialer up --simulator`: a whole installation that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from simulator import Settings as CarrierSettings
from simulator import Simulator
from tests.cli.running import command, descendants, dialer, line_with, processes_of, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)


@contextlib.asynccontextmanager
async def up(data_dir: Path, **more: str) -> AsyncIterator[tuple[Process, str, str]]:
    """The running command, the URL and the token that it told."""
    variables = {"DIALER_DATA_DIR": str(data_dir), "CONTROL_PORT": "0", **more}
    async with running("up", "--simulator", more=variables) as process:
        line = await line_with(process.stderr, "up: http")
        found = re.search(r"up: (\S+) \(operator's token: ([^,;]+)", line)
        assert found
        yield process, found[1], found[2]


async def stopped(process: Process, number: signal.Signals) -> str:
    """Tell it to stop; its last words."""
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err
    assert out == b""
    return err.decode()


async def test_up_serves_until_sigterm_and_keeps_its_token_and_its_data(data_dir: Path, tmp_path: Path) -> None:
    leads, twiml = tmp_path / "leads.csv", tmp_path / "hello.xml"
    leads.write_text("phone\n+12025550185\n")
    twiml.write_text("<Response><Say>Shalom</Say></Response>")
    async with up(data_dir) as (process, url, token):
        client = {"DIALER_URL": url, "DIALER_TOKEN": token}
        assert (await dialer("healthcheck", "--ready", more=client)).code == 0
        business = await _add_business(url, token)
        started = await dialer(
            "start", str(leads), "--twiml", str(twiml), "--business", str(business), "--watch", more=client
        )
        assert started.code == 0, started.err
        assert "1 busy" in started.out
        await stopped(process, signal.SIGTERM)
    assert processes_of(str(data_dir)) == {}
    token_file = data_dir / "admin-token"
    assert token_file.read_text().strip() == token
    assert token_file.stat().st_mode & 0o777 == 0o600
    async with up(data_dir) as (process, url, again):
        assert again == token
        listed = await dialer("runs", "list", "--json", DIALER_URL=url, DIALER_TOKEN=token)
        assert [run["status"] for run in json.loads(listed.out)] == ["completed"]
        await stopped(process, signal.SIGINT)
    # What waits here for a simulated carrier must never be dialed by a real one.
    real = {
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "t",
        "PUBLIC_BASE_URL": "https://x.example",
    }
    refused = await dialer("up", more={"DIALER_DATA_DIR": str(data_dir), **real})
    assert refused.code == 1
    assert "belong to a simulated carrier" in refused.err
    assert processes_of(str(data_dir)) == {}
    assert processes_of(str(data_dir)) == {}


async def test_a_token_that_is_given_is_used_and_neither_told_nor_kept(data_dir: Path) -> None:
    async with up(data_dir, DIALER_ADMIN_TOKEN="my-own-operator-token") as (process, url, told):
        assert told.startswith("DIALER_ADMIN_TOKEN")
        assert (await dialer("runs", "list", DIALER_URL=url, DIALER_TOKEN="my-own-operator-token")).code == 0
        assert "my-own-operator-token" not in await stopped(process, signal.SIGTERM)
    assert not (data_dir / "admin-token").exists()


@pytest.mark.parametrize(("name", "module"), [("daemon", "-m dialer "), ("control", "-m control ")])
async def test_what_dies_is_started_again_loudly(data_dir: Path, name: str, module: str) -> None:
    async with up(data_dir) as (process, url, token):
        _kill(process, module)
        assert "SIGKILL" in await line_with(process.stderr, f"{name} has ended")
        await line_with(process.stderr, f"{name} is started again")
        await eventually(lambda: _pids(process, module), timeout=20)
        ready = {"DIALER_URL": url, "DIALER_TOKEN": token}

        async def works() -> bool:
            return (await dialer("healthcheck", "--ready", more=ready)).code == 0

        await eventually(works, timeout=30)
        await stopped(process, signal.SIGTERM)
    assert processes_of(str(data_dir)) == {}


async def test_a_carrier_account_of_ones_own_is_used(data_dir: Path, tmp_path: Path) -> None:
    leads = tmp_path / "leads.csv"
    leads.write_text("phone\n+12025550185\n")
    account = {"TWILIO_ACCOUNT_SID": "AC" + "7" * 32, "TWILIO_AUTH_TOKEN": "of-my-own"}
    settings = CarrierSettings(account_sid=account["TWILIO_ACCOUNT_SID"], auth_token=account["TWILIO_AUTH_TOKEN"])
    ours = {"DIALER_DATA_DIR": str(data_dir), "CONTROL_PORT": "0", "DIALER_ADMIN_TOKEN": "operator"}
    async with (
        Simulator(settings).serve() as carrier,
        running("up", TWILIO_API_BASE_URL=carrier.url, more={**ours, **account}) as process,
    ):
        found = re.search(r"up: (\S+)", await line_with(process.stderr, "up: http"))
        assert found
        client = {"DIALER_URL": found[1], "DIALER_TOKEN": "operator"}
        business = await _add_business(found[1], "operator")
        arguments = ("--url", "https://example.com/twiml", "--from", "+12025550100", "--business", str(business))
        started = await dialer("start", str(leads), *arguments, "--watch", more=client)
        assert started.code == 0, started.err
        assert carrier.ledger.calls_per_number() == {"+12025550185": 1}
        await stopped(process, signal.SIGTERM)
    assert processes_of(str(data_dir)) == {}


async def test_without_its_simulator_it_gives_up(data_dir: Path) -> None:
    async with up(data_dir) as (process, _, _):
        _kill(process, "-m simulator ")
        _, err = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 1
    assert "simulator has ended (SIGKILL)" in err.decode()
    assert processes_of(str(data_dir)) == {}


async def test_a_port_in_use_is_told_with_the_words_of_control(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = await dialer("up", "--simulator", DIALER_DATA_DIR=str(data_dir), CONTROL_PORT=port)
    assert said.code == 1
    assert "control has ended (exit code 1)" in said.err
    assert port in said.err
    assert processes_of(str(data_dir)) == {}


def _pids(process: Process, module: str) -> list[int]:
    return [pid for pid in descendants(process.pid) if module in command(pid)]


def _kill(process: Process, module: str) -> None:
    [victim] = _pids(process, module)
    os.kill(victim, signal.SIGKILL)


async def _add_business(url: str, token: str) -> int:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(f"{url}/api/businesses", json={"name": "test"}) as answer,
    ):
        assert answer.status == 201
        business: int = (await answer.json())["business_id"]
        return business
