"""What is found from what was measured: the cases that no server here can be brought to."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest

from control.__main__ import REQUIRED
from control.database import MOST_CONNECTIONS
from dialer.__main__ import REQUIRED as REQUIRED_OF_DAEMON
from dialer.cli.doctor import callbacks, clocks, disk, postgres, redis, settings
from dialer.cli.doctor.findings import Level
from dialer.edges.inspection import ServerFacts
from dialer.edges.knock import Answered
from dialer.edges.pool import Statements

OK, WARN, FAIL = Level


def test_what_is_needed_is_what_the_processes_refuse_to_start_without() -> None:
    assert set(settings.OF_CONTROL) == set(REQUIRED)
    assert set(settings.OF_DAEMON) == set(REQUIRED_OF_DAEMON)
    assert postgres.OF_CONTROL == MOST_CONNECTIONS
    of_a_store = signature(Statements.connect).parameters["connections"].default
    assert 2 * of_a_store + 1 == postgres.OF_A_DAEMON


def test_what_up_makes_itself_may_be_unset_beside_it() -> None:
    unset = ["TWILIO_ACCOUNT_SID", "DIALER_ADMIN_TOKEN"]
    assert [settings.judge(unset, "all", is_up).level for is_up in (True, False)] == [WARN, FAIL]
    assert settings.judge(["DATABASE_URL"], "all", True).level is FAIL


@pytest.mark.parametrize(
    ("url", "addresses", "level", "said"),
    [
        ("https://calls.example.com", ["93.184.216.34"], OK, "https://calls.example.com"),
        ("http://calls.example.com", ["93.184.216.34"], WARN, "not https"),
        ("https://calls.example.com", [], FAIL, "has no address"),
        (
            "https://calls.example.com",
            ["93.184.216.34", "10.0.0.7"],
            FAIL,
            "10.0.0.7, which the carrier cannot reach",
        ),
        ("https://calls.example.com", ["::1"], FAIL, "cannot reach"),
    ],
)
def test_the_url_of_callbacks(url: str, addresses: list[str], level: Level, said: str) -> None:
    finding = callbacks.judge_url(url, addresses, carrier_is_here=False)
    assert (finding.level, said in finding.found) == (level, True)


def test_control_that_waits_for_its_schema() -> None:
    finding = callbacks.judge_round_trip("https://x.example", Answered(503, "schema_not_ready"))
    assert (finding.level, "schema_not_ready" in finding.found) == (FAIL, True)


@pytest.mark.parametrize(
    ("before", "seen", "after", "apart"),
    [(10.0, 10.2, 10.4, 0.0), (10.0, 13.0, 10.5, 2.5), (10.0, 8.0, 10.5, -2.0), (10.0, 10.0, 10.0, 0.0)],
)
def test_how_far_clocks_are_apart(before: float, seen: float, after: float, apart: float) -> None:
    assert clocks.apart(before, seen, after) == apart


@pytest.mark.parametrize(
    ("seconds", "level"), [(0.9, OK), (-0.9, OK), (1.5, WARN), (-4.9, WARN), (5.0, FAIL), (-7, FAIL)]
)
def test_clocks(seconds: float, level: Level) -> None:
    assert clocks.judge("Postgres", seconds, clocks.MOST_SECONDS).level is level


def facts(**others: object) -> ServerFacts:
    usual: dict[str, object] = {
        "version": "16.2",
        "major": 16,
        "read_only": False,
        "fsync": True,
        "connections": 97,
        "connected": 9,
    }
    return ServerFacts(**{**usual, **others})  # type: ignore[arg-type]


def test_servers() -> None:
    assert postgres.judge_server(facts()).level is OK
    assert postgres.judge_server(facts(major=14)).level is FAIL
    assert postgres.judge_server(facts(fsync=False)).level is WARN
    assert postgres.judge_schema(14, 13).level is OK, "a newer one is fine"
    assert redis.judge_policy(set()).level is WARN, "hosted ones forbid the question"
    assert redis.judge_policy({"noeviction", "volatile-lru"}).level is FAIL, "one node of several"


def test_connections() -> None:
    assert postgres.judge_connections(facts(), 3).level is OK
    assert postgres.judge_connections(facts(), 4).level is FAIL
    assert postgres.judge_connections(facts(connected=80), 3).level is WARN


@pytest.mark.parametrize(("free", "level"), [(disk.NOTABLE, OK), (disk.LEAST, WARN), (disk.LEAST - 1, FAIL)])
def test_room(free: int, level: Level) -> None:
    there = Path("/data")
    assert disk.judge("data", disk.Room(there, free, 100 * disk.GIB, True, True)).level is level
    assert disk.judge("data", disk.Room(there, free, 100 * disk.GIB, True, False)).level is FAIL
