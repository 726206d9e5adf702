"""What the supervisor is told, and when its watchdog is not fed."""

from __future__ import annotations

import os

import pytest

from dialer.config import Settings, load
from dialer.edges.supervisor import Supervisor as Edge
from dialer.errors import CheckYourSettings
from dialer.liveness import Liveness
from tests.support.supervisors import Supervisor, supervisor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(listener: Supervisor) -> Settings:
    return load(listener.environment)


@pytest.mark.parametrize("abstract", [False, True])
async def test_a_life_from_its_start_to_its_end(abstract: bool) -> None:
    with supervisor(abstract=abstract) as listener:
        liveness = Liveness(settings(listener), "the schema")
        await liveness.feed()
        liveness.ready(lambda: "serves\nwell")
        await liveness.feed()
        liveness.stopping()
        await liveness.feed()
        listener.lines()
        assert listener.words == [
            ["EXTEND_TIMEOUT_USEC=30000000", "STATUS=waits for the schema"],
            ["READY=1", "STATUS=serves well"],
            ["WATCHDOG=1", "STATUS=serves well"],
            ["STOPPING=1", "STATUS=drains"],
            ["WATCHDOG=1", "STATUS=drains"],
        ]


async def test_what_stands_still_gets_no_food_until_it_moves_again() -> None:
    clock = Clock()
    with supervisor(watchdog_seconds=20) as listener:
        liveness = Liveness(settings(listener), "nothing", clock)
        liveness.ready(lambda: "serves")
        counts = {"slow": 0, "quick": 0}
        liveness.watch("slow", lambda: counts["slow"], 10.0)
        liveness.watch("quick", lambda: counts["quick"], 2.0)
        for at, quick, fed in ((1, 1, 1), (3, 1, 2), (3.1, 1, 2), (9, 1, 2), (9, 2, 3), (10, 3, 4), (11, 4, 4)):
            clock.now, counts["quick"] = at, quick
            await liveness.feed()
            assert listener.feeds() == fed, at
        assert listener.statuses().count("stands still: quick") == 2
        assert listener.statuses()[-1] == "stands still: slow"


async def test_time_in_which_the_whole_process_was_frozen_does_not_count() -> None:
    clock = Clock()
    with supervisor(watchdog_seconds=20) as listener:
        liveness = Liveness(settings(listener), "nothing", clock)
        liveness.ready(lambda: "serves")
        liveness.watch("frozen with us", lambda: 0, 12.0)
        for at, fed in ((5, 1), (100, 2), (107, 3), (113, 3)):
            clock.now = at
            await liveness.feed()
            assert listener.feeds() == fed, at


async def test_time_that_the_watched_was_not_there_does_not_count() -> None:
    clock = Clock()
    with supervisor() as listener:
        liveness = Liveness(settings(listener), "nothing", clock)
        liveness.ready(lambda: "serves")
        clock.now = 1000.0
        liveness.watch("begun late", lambda: 0, 2.0)
        await liveness.feed()
        assert listener.feeds() == 1


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    for pid, seconds in ((os.getpid(), 3.0), (os.getpid() + 1, None)):
        assert Edge(load({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(pid)})).watchdog_seconds == seconds
    assert Edge(load({})).watchdog_seconds is None


def test_nobody_and_somebody_who_is_gone_are_no_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    Edge(load({})).tell("READY=1")
    with supervisor() as listener:
        gone = Edge(settings(listener))
    for _ in range(2):
        gone.tell("READY=1")
    assert capsys.readouterr().out.count("SUPERVISOR_AWAY") == 1


def test_an_address_that_is_none_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(CheckYourSettings, match="NOTIFY_SOCKET"):
        load({"NOTIFY_SOCKET": "vsock:2:1234"})
