"""Answering machines, told apart by the carrier: all the way from the order to the run's figures."""

from __future__ import annotations

from typing import Any

import pytest

from simulator import INSTANT
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import numbers

PEOPLE, MACHINES = 4, 3
TALKING = INSTANT.changed({"talk_seconds": 0.3, "amd_seconds": 0.05})

Fault = dict[str, Any]

LOST_VERDICTS: tuple[Fault, ...] = ({"do": "lose", "kind": "amd"},)
REPEATED_AND_LATE: tuple[Fault, ...] = (
    {"do": "duplicate", "kind": "amd"},
    {"do": "late", "kind": "amd", "seconds": 1},
)
# The end is learnt by asking, and the verdict comes long after.
AFTER_THE_END: tuple[Fault, ...] = (
    {"do": "lose", "kind": "status", "event": "completed"},
    {"do": "late", "kind": "amd", "seconds": 4},
)


def list_of_both() -> list[str]:
    """Numbers of which the last two digits say who answers (80 to 84: a machine)."""
    phones = enumerate(numbers(PEOPLE + MACHINES))
    return [f"{phone[:-2]}{80 + n if n < MACHINES else n:02}" for n, phone in phones]


@pytest.mark.parametrize("faults", [(), LOST_VERDICTS, REPEATED_AND_LATE, AFTER_THE_END])
async def test_machines_are_told_apart(make_stack: MakeStack, faults: tuple[Fault, ...]) -> None:
    async with make_stack(TALKING, CALL_SILENT_AFTER_SECONDS="1") as system:
        for fault in faults:
            system.sim.misbehave("callback", times=None, **fault)
        await system.daemon()
        run = await system.start(await system.business(), list_of_both(), machine_detection=True)
        await system.ended(run)

        async def told_apart() -> bool:
            shown = await system.run(run)
            return bool(shown["dispositions"] == {"answered": PEOPLE, "machine": MACHINES})

        await eventually(told_apart, timeout=15)
        jobs = await system.jobs(run)
        assert [job["disposition"] for job in jobs] == ["machine"] * MACHINES + ["answered"] * PEOPLE
        assert {job["status"] for job in jobs} == {"completed"}
        await system.check(run, limit=3)


async def test_nobody_is_told_apart_unasked(make_stack: MakeStack) -> None:
    async with make_stack(TALKING) as system:
        await system.daemon()
        run = await system.start(await system.business(), list_of_both())
        assert (await system.ended(run))["dispositions"] == {"answered": PEOPLE + MACHINES}
        assert all(
            "MachineDetection" not in dict(call.order.parameters) for call in system.sim.exchange.calls.values()
        )
