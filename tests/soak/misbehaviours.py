"""What the carrier does wrong: some of it all the time, some of it now and then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.soak.acts import Act
from tests.soak.world import World

# A create that is slow answers after our time-out; one that is late is placed then.
SLOW_SECONDS = 1.8
ALL_THE_TIME: tuple[Mapping[str, Any], ...] = (
    {"do": "lose", "probability": 0.02},
    {"do": "late", "probability": 0.03, "seconds": 2.0},
    {"do": "duplicate", "probability": 0.05},
    {"do": "reorder", "probability": 0.05},
)


def behave_badly(world: World) -> None:
    """What goes wrong with callbacks, from now on."""
    for fault in ALL_THE_TIME:
        world.sim.misbehave("callback", times=None, **fault)


def misbehaviour(on: str, do: str, weight: int = 1, most: int = 2, **details: Any) -> Act:
    """The next few of that kind go wrong."""

    async def act(world: World) -> bool:
        world.sim.misbehave(on, do, times=world.chance.randint(1, most), **details)
        return True

    said = " ".join(str(v) for k, v in details.items() if k in ("status", "code", "accept", "outcome", "event"))
    return Act(f"{on}: {do} {said}".strip(), weight, act)


ACTS = (
    misbehaviour("create", "error", status=500, accept=True),
    misbehaviour("create", "error", status=500, accept=False),
    misbehaviour("create", "error", status=503, accept=True),
    misbehaviour("create", "error", status=503, accept=False),
    misbehaviour("create", "html", accept=True),
    misbehaviour("create", "html", accept=False),
    misbehaviour("create", "drop"),
    misbehaviour("create", "cut"),
    misbehaviour("create", "truncate"),
    misbehaviour("create", "redirect", accept=True),
    misbehaviour("create", "redirect", accept=False),
    misbehaviour("create", "slow", seconds=SLOW_SECONDS, accept=True),
    misbehaviour("create", "slow", seconds=SLOW_SECONDS, accept=False),
    misbehaviour("create", "slow", seconds=SLOW_SECONDS, accept="late"),
    misbehaviour("create", "slow", seconds=0.7, accept="late"),
    misbehaviour("create", "callback_first", weight=2),
    misbehaviour("create", "error", weight=2, most=4, status=429),
    misbehaviour("create", "error", status=429, retry_after=1),
    misbehaviour("create", "error", status=400, code=21211),
    misbehaviour("create", "error", status=400, code=21210),
    misbehaviour("create", "error", most=1, status=401, code=20003),
    misbehaviour("call", "outcome", outcome="vanish"),
    misbehaviour("call", "outcome", outcome="gone"),
    misbehaviour("fetch", "error", most=4, status=404),
    misbehaviour("fetch", "error", most=4, status=500),
    misbehaviour("list", "error", most=4, status=500),
    misbehaviour("list", "drop", most=2),
    misbehaviour("callback", "lose", most=10, event="completed"),
    misbehaviour("callback", "late", most=10, seconds=4.0, event="completed"),
    misbehaviour("callback", "duplicate", most=10, copies=3),
)
