"""What may come next, by kind: each list holds every act that is possible now, with a name for the trace."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from dialer.rules.holding import Holding
from dialer.rules.outcome import AccountRefused, NotProcessed, Outcome, Placed, Refused, Unknown
from tests.model import creates, lookups, operators, slots
from tests.model.carrier import AFTER, Call, Request
from tests.model.daemon import Daemon
from tests.model.world import World

Work = Coroutine[Any, Any, None]

# What the carrier answers, and whether there is a call.
ANSWERS: list[tuple[Outcome | None, bool]] = [
    (Placed(""), True),
    (None, True),
    (None, False),
    (Unknown("HTTP 500", 500), True),
    (Unknown("HTTP 500", 500), False),
    (NotProcessed("too many requests", 20429), False),
    (Refused("invalid_number", 21211, "bad number", configuration=False), False),
    (Refused("failed", 21210, "bad caller ID", configuration=True), False),
    (AccountRefused(20003, "account"), False),
]


@dataclass(frozen=True)
class Act:
    """One thing that may happen."""

    name: str
    do: Callable[[], Work]


def ordinary(world: World) -> list[Act]:
    """Where nothing goes wrong: claim, dial, placed, ended."""
    found = []
    if world.claimable():
        found += [Act(f"{d} claims", partial(world.claim, d)) for d in world.awake()]
    for d, holding in _eager(world):
        for sends in (True, False):
            dial = partial(_dial, world, d, holding, sends=sends)
            found.append(Act(f"{d} dials for run {holding.terms.run_id}, sends={sends}", dial))
    for request in world.carrier.wire:
        found.append(
            Act(f"placed: {request}", partial(_answer, world, request, Placed(""), exists=True, settled=True))
        )
    for call in world.carrier.live():
        found.append(Act(f"ends, and all hear of it: {call}", partial(_end, world, call)))
    return found


def by_daemons(world: World, flag: bool) -> list[Act]:
    """The single acts of daemons, each at any time."""
    found = []
    for d in world.awake():
        for business in d.businesses():
            found.append(Act(f"{d} asks Redis for business {business}", partial(slots.turn, world, d, business)))
            found.append(_compare(world, d, business))
        for holding in d.runs.values():
            if holding.wanted(world.clock.now):
                ask = partial(slots.name_by_postgres, world, d, holding)
                found.append(Act(f"{d} finds slots of run {holding.terms.run_id} without Redis", ask))
            if holding.reserved:
                intend = partial(creates.intend, world, d, holding, unheard=flag)
                found.append(Act(f"{d} writes intents of run {holding.terms.run_id}, unheard={flag}", intend))
        if d.uncertain:
            found.append(Act(f"{d} undoes", partial(creates.undo, world, d)))
        for attempt, work in d.unsent.items():
            found.append(
                Act(f"{d} sends {attempt}, blind={flag}", partial(creates.send, world, d, work, blind=flag))
            )
        found += [
            Act(f"{d} waits no longer for {attempt}", partial(_time_out, d, attempt)) for attempt in d.waiting
        ]
        found += [
            Act(f"{d} writes down the answer to {attempt}", partial(creates.settle, world, d, attempt))
            for attempt in d.answered
        ]
    return found


def answers(world: World, n: int, settled: bool) -> list[Act]:
    """Any answer to any create on the wire."""
    outcome, exists = ANSWERS[n % len(ANSWERS)]
    return [
        Act(
            f"answers {outcome}, exists={exists}, settled={settled}: {request}",
            partial(_answer, world, request, outcome, exists=exists, settled=settled),
        )
        for request in world.carrier.wire
    ]


def by_carrier(world: World, n: int, hearers: list[Daemon]) -> list[Act]:
    """Any news of any call, any callback that it has ever had to send, to whoever listens."""
    found = []
    for call in world.carrier.live():
        status = AFTER[call.status][n % len(AFTER[call.status])]
        found.append(Act(f"{status}: {call}", partial(_move, world, call, status, hearers)))
    for call in world.carrier.talkative():
        sequence = n % len(call.said)
        say = partial(creates.call_back, world, call, sequence, hearers)
        found.append(Act(f"callback {call.said[sequence]}: {call}", say))
    return found


def by_inquirers(world: World, flag: bool, other: bool) -> list[Act]:
    """The three acts of a look-up."""
    found = []
    for d in world.awake():
        if world.rows.live():
            found.append(Act(f"{d} takes look-ups on", partial(lookups.take_on, world, d)))
            found.append(Act(f"{d} looks up, young={flag}", partial(lookups.look_up, world, d, young=flag)))
        for inquiry in d.inquiries:
            if inquiry.asked:
                found.append(Act(f"{d} concludes {inquiry}", partial(lookups.conclude, world, d, inquiry)))
            else:
                ask = partial(lookups.ask, world, inquiry, young=flag, fails=not flag and other)
                found.append(
                    Act(f"{d} asks the carrier, young={flag}, fails={not flag and other}: {inquiry}", ask)
                )
    return found


def after_trouble(world: World) -> list[Act]:
    """The chores of control."""
    found = []
    runs = world.rows.runs.values()
    if any(r["sweep_to"] is not None and r["swept_at"] is None for r in runs):
        found.append(Act("control sweeps", partial(operators.sweep, world)))
    if any(r["hangup_requested_at"] is not None for r in runs) and world.rows.live():
        for settles in (True, False):
            hang_up = partial(operators.hang_up, world, settles=settles)
            found.append(Act(f"control hangs up, settles={settles}", hang_up))
    if any(r["locked_by_worker"] is not None for r in runs) and world.claimable():
        found.append(Act("control reaps", partial(operators.reap, world)))
    return found


def _eager(world: World) -> list[tuple[Daemon, Holding]]:
    """Runs that could use a slot, as their daemon sees it, while there is one."""
    now, live = world.clock.now, world.rows.live_by_business()
    return [
        (d, h)
        for d in world.awake()
        for h in d.runs.values()
        if d.trusts(h, now) and h.wanted(now)
        if len(live[h.terms.business_id]) < world.rows.limits[h.terms.business_id]
    ]


async def _dial(world: World, daemon: Daemon, holding: Holding, *, sends: bool) -> None:
    """The common way from a slot to an intent or a create, without anything between."""
    await slots.turn(world, daemon, holding.terms.business_id)
    if holding.reserved:
        await creates.intend(world, daemon, holding)
    for work in [w for w in daemon.unsent.values() if w.holding is holding and sends]:
        await creates.send(world, daemon, work)


def _compare(world: World, daemon: Daemon, business: int) -> Act:
    """The half of a reconciliation that is next: it may go by a reading of any age."""
    if business in daemon.readings:
        return Act(f"{daemon} reconciles business {business}", partial(slots.reconcile, world, daemon, business))
    return Act(f"{daemon} reads business {business}", partial(slots.read, world, daemon, business))


async def _answer(world: World, request: Request, outcome: Outcome | None, *, exists: bool, settled: bool) -> None:
    creates.decide(world, request, outcome, exists=exists)
    for daemon in world.awake() if settled else []:
        if request.attempt in daemon.answered:
            await creates.settle(world, daemon, request.attempt)


async def _time_out(daemon: Daemon, attempt: Any) -> None:
    creates.time_out(daemon, attempt)


async def _move(world: World, call: Call, status: str, hearers: list[Daemon]) -> None:
    call.move(status, world.clock.now)
    if hearers:
        await creates.call_back(world, call, len(call.said) - 1, hearers)


async def _end(world: World, call: Call) -> None:
    call.end(world.clock.now)
    await creates.call_back(world, call, len(call.said) - 1, world.daemons)
