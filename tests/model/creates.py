"""From a named slot to a call and what becomes of it: intents, creates, their answers, callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import UUID

from dialer.rules.holding import Holding
from dialer.rules.model import Grant
from dialer.rules.outcome import AccountRefused, NotProcessed, Outcome, Placed, Refused, Unknown
from tests.model import rows, slots
from tests.model.carrier import LANDS_WITHIN_SECONDS, Call, Request
from tests.model.daemon import Answered, Daemon, Work
from tests.model.invariants import check_send
from tests.model.world import World
from tests.support.runs import event

ACCOUNT = "AC" + "0" * 32


async def intend(world: World, daemon: Daemon, holding: Holding, *, unheard: bool = False) -> None:
    """Turn what is named into intents, whether the lease is trusted or not; `unheard`: the answer is lost."""
    named = sorted(holding.reserved.items(), key=lambda pair: pair[1])
    grants = [Grant(holding.terms.run_id, attempt, slot) for attempt, slot in named]
    answer = await world.store.write_intents(holding.terms, daemon.id, holding.cursor, grants, ACCOUNT)
    if not unheard:
        daemon.book(holding, answer, world.clock.now)
        return
    daemon.uncertain.append((holding, [g.attempt_id for g in grants]))
    for grant in grants:
        daemon.not_used(holding, grant.attempt_id)


async def undo(world: World, daemon: Daemon) -> None:
    """Intents that were committed unheard were certainly never sent."""
    for holding, ids in daemon.uncertain:
        for attempt in await world.store.attempts_written(ids):
            await world.recover(partial(world.store.return_attempt, attempt, 0.0, None, "not sent"))
            holding.came_back()
    daemon.uncertain.clear()


async def send(world: World, daemon: Daemon, work: Work, *, blind: bool = False) -> None:
    """Look at the lease, then send. `blind`: it freezes between the two, and wakes when others hold the run."""
    request = Request(work.intent.attempt_id, work.intent.job_id, work.intent.phone, work.intended_at)
    # Narrow: a daemon looks at its lease and not at the age of its intents. That none waits for so long while the
    # lease is trusted is assumed.
    is_fresh = world.clock.now <= request.intended_at + LANDS_WITHIN_SECONDS
    may_send = is_fresh and (blind or daemon.trusts(work.holding, world.clock.now))
    daemon.unsent.pop(request.attempt, None)
    if not may_send and not world.sabotage.sends_untrusted:
        daemon.answered[request.attempt] = Answered(work, NotProcessed("not sent"))
        return
    check_send(request, await rows.read(world.db), world.carrier)
    world.carrier.receive(request)
    daemon.waiting[request.attempt] = work


def decide(world: World, request: Request, outcome: Outcome | None, *, exists: bool) -> None:
    """The carrier makes a call of a create, or not. `outcome`: what is answered; None: the answer is lost."""
    if exists:
        call = world.carrier.place(request, world.clock.now)
        outcome = Placed(call.sid) if isinstance(outcome, Placed) else outcome
    else:
        world.carrier.drop(request)
    for daemon in world.daemons:
        if request.attempt in daemon.waiting and outcome is not None:
            daemon.answered[request.attempt] = Answered(daemon.waiting.pop(request.attempt), outcome)


def time_out(daemon: Daemon, attempt: UUID) -> None:
    """It waits no longer for an answer; the create may still be on the wire."""
    daemon.answered[attempt] = Answered(daemon.waiting.pop(attempt), Unknown("time-out"))


async def settle(world: World, daemon: Daemon, attempt: UUID) -> None:
    """Write down what came of a create, however late; give the slot back unless there may be a call."""
    answered = daemon.answered.pop(attempt)
    work, outcome = answered.work, answered.outcome
    match outcome:
        case Placed():
            await _placed(world, attempt, outcome)
            is_free = world.sabotage.frees_live
        case NotProcessed() | AccountRefused():
            give_back = partial(world.store.return_attempt, attempt, 0.0, outcome.code, outcome.reason)
            result = await world.recover(give_back)
            is_free = result != "too_late"
            if result == "returned":
                work.holding.came_back()
        case Refused():
            refuse = partial(
                world.store.refuse_attempt, attempt, outcome.disposition, outcome.code, outcome.reason
            )
            is_free = await world.recover(refuse)
        case Unknown():
            is_free = False
            if world.sabotage.retries_on_500 and outcome.code == 500:
                await send(world, daemon, work)
            else:
                await world.recover(partial(world.store.doubt_attempt, attempt, outcome.code, outcome.reason))
    if is_free:
        daemon.released(work.holding.terms.business_id, work.intent.slot, attempt)


async def _placed(world: World, attempt: UUID, placed: Placed) -> None:
    take_in = partial(world.store.take_carrier_event, attempt, placed.call_sid, "answer", "queued")
    fact = await world.recover(take_in)
    if fact.result == "late_call":
        world.carrier.calls[placed.call_sid].end(world.clock.now)


async def call_back(world: World, call: Call, sequence: int, heard_by: Iterable[Daemon]) -> None:
    """A callback reaches control; those who hear of a freed slot remember to give it back."""
    status = call.said[sequence]
    take_in = partial(event, world.db, call.attempt, status, sid=call.sid, sequence=sequence, duration=1)
    row = await world.recover(take_in)
    if row["state"] == "ended" and row["result"] in ("taken", "repeat"):
        world.tell(row["business_id"], row["slot"], call.attempt, heard_by)


async def drain(world: World, daemon: Daemon) -> None:
    """SIGTERM: settle what is known, send nothing more, give everything back, end."""
    await undo(world, daemon)
    for attempt in list(daemon.unsent):
        daemon.answered[attempt] = Answered(daemon.unsent.pop(attempt), NotProcessed("not sent"))
    for attempt in list(daemon.answered):
        await settle(world, daemon, attempt)
    for attempt in list(daemon.waiting):
        await world.store.doubt_attempt(attempt, None, "drained")
    await world.recover(partial(world.store.hand_over, daemon.id))
    for run in list(daemon.runs):
        daemon.lose(run)
    for business in daemon.businesses():
        await slots.turn(world, daemon, business)
    await world.crash(daemon)
