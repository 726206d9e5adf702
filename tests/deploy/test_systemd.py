"""The units for systemd: they start what exists, with settings that exist, and are locked up well."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import control.__main__
import dialer.__main__
from control.__main__ import BAD_USAGE
from dialer.cli import main
from dialer.cli.stack import CONTROL_STOPS_WITHIN, DAEMON_STOPS_WITHIN
from dialer.config import load
from dialer.liveness import FEED_EVERY_SECONDS, FEEDS_IN_A_WATCHDOGS_TIME, START_GOES_ON_MICROSECONDS
from tests.deploy.reading import KNOWN, TOP, variables
from tests.support.tools import environment as environment_of_tools
from tests.support.tools import find

FOLDER = TOP / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
SERVING = {
    "dialer": (dialer.__main__, DAEMON_STOPS_WITHIN),
    "dialer-control": (control.__main__, CONTROL_STOPS_WITHIN),
}
NAMES = [unit.stem for unit in UNITS]


def directives(unit: str) -> dict[str, list[str]]:
    """A unit's settings; one may stand there several times."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (FOLDER / f"{unit}.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def seconds(unit: str, name: str) -> float:
    [value] = directives(unit)[name]
    return float(value.removesuffix("s"))


def environment(unit: str) -> dict[str, str]:
    """What the example files and the unit itself set."""
    given: dict[str, str] = {}
    for path in directives(unit)["EnvironmentFile"]:
        given |= variables(f"deploy/systemd/{Path(path).name}")
    return given | dict(one.split("=", 1) for one in directives(unit)["Environment"])


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = find("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze, and Debian's package systemd could not be had")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment_of_tools()
    )


def test_there_is_a_unit_for_each_process_and_one_for_the_schema() -> None:
    assert set(NAMES) == {*SERVING, "dialer-migrate"}


@pytest.mark.parametrize("unit", NAMES)
def test_the_exposure_is_under_two(unit: str) -> None:
    told = analyze("security", "--offline=true", "--no-pager", FOLDER / f"{unit}.service").stdout
    [score] = re.findall(rf"exposure level for {unit}\.service: ([\d.]+)", told)
    assert float(score) < 2.0, told


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """Only that the programs are not there, where the units put them, is no fault."""
    copies = []
    for unit in UNITS:
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(
            re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.M)
        )
    told = analyze("verify", "--man=no", *copies)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", NAMES)
def test_every_variable_is_a_setting(unit: str) -> None:
    assert set(environment(unit)) - {"PYTHONFAULTHANDLER"} <= KNOWN


@pytest.mark.parametrize("unit", SERVING)
def test_a_unit_runs_a_process_itself_with_all_that_it_requires(unit: str) -> None:
    module, _ = SERVING[unit]
    [command] = directives(unit)["ExecStart"]
    assert command == f"/opt/dialer/bin/python -P -m {module.__package__}"
    assert set(module.REQUIRED) <= set(environment(unit))
    filled = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h", "TWILIO_ACCOUNT_SID": "AC" + "0" * 32}
    secrets = dict.fromkeys(("TWILIO_AUTH_TOKEN", "DIALER_ADMIN_TOKEN"), "x")
    load({**environment(unit), **filled, **secrets}, require=module.REQUIRED)


def test_the_migration_is_a_command_that_control_and_the_daemon_wait_for() -> None:
    [command] = directives("dialer-migrate")["ExecStart"]
    program, word = command.split()
    assert (program, word in main.commands) == ("/opt/dialer/bin/dialer", True)
    for unit in SERVING:
        # Not more than wanted: without it they wait for the schema by themselves.
        assert "dialer-migrate.service" in directives(unit)["Wants"][0].split()
        assert "dialer-migrate.service" in directives(unit)["After"][0].split()


def test_no_secret_is_written_down() -> None:
    given = {**variables("deploy/systemd/dialer.env"), **variables("deploy/systemd/control.env")}
    for name in ("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN", "DIALER_ADMIN_TOKEN"):
        assert given[name] == ""
    assert "DIALER_ADMIN_TOKEN" not in variables("deploy/systemd/dialer.env"), "the daemon needs none"


@pytest.mark.parametrize("unit", SERVING)
def test_its_times_suit_the_program(unit: str) -> None:
    assert directives(unit)["Type"] == ["notify"]
    assert seconds(unit, "TimeoutStopSec") > SERVING[unit][1]
    # Fed at least four times before it strikes, and from the start on before that is given up.
    assert seconds(unit, "WatchdogSec") >= FEEDS_IN_A_WATCHDOGS_TIME * FEED_EVERY_SECONDS
    assert seconds(unit, "TimeoutStartSec") > 2 * FEED_EVERY_SECONDS
    assert START_GOES_ON_MICROSECONDS / 1e6 > 2 * FEED_EVERY_SECONDS


@pytest.mark.parametrize("unit", SERVING)
def test_it_is_started_again_always_but_for_settings_at_fault(unit: str) -> None:
    assert directives(unit)["Restart"] == ["always"]
    assert directives(unit)["RestartPreventExitStatus"] == [str(BAD_USAGE)]
    assert directives(unit)["StartLimitIntervalSec"] == ["0"]
