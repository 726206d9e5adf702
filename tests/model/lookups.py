"""Look-ups at the carrier, in three acts that anything may come between: take one on, ask, write down."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from dialer.edges.store import SilentAttempt, UnknownAttempt
from dialer.rules import lookup
from tests.model.carrier import LAG_SECONDS
from tests.model.clock import seconds
from tests.model.daemon import Daemon, Inquiry
from tests.model.world import World

AFTER_SECONDS = 30.0
LONGEST_SECONDS = 60.0
AT_ONCE = 20


async def take_on(world: World, daemon: Daemon) -> None:
    """Attempts that are unknown, and calls that are silent, for long enough."""
    when = (AFTER_SECONDS, AT_ONCE, LAG_SECONDS, LONGEST_SECONDS)
    unknown = await world.store.take_unknown_attempts(*when)
    silent = await world.store.take_silent_attempts(*when)
    if unknown or silent:
        again = await world.store.take_unknown_attempts(*when), await world.store.take_silent_attempts(*when)
        assert again == ([], []), f"I18: taken on twice: {again}"
    daemon.inquiries += [*map(Inquiry, unknown), *map(Inquiry, silent)]


async def ask(world: World, inquiry: Inquiry, *, young: bool, fails: bool = False) -> None:
    """What does the carrier show? `young`: also calls within its lag."""
    inquiry.asked = True
    if fails:
        return
    now, attempt = world.clock.now, inquiry.attempt
    if isinstance(attempt, SilentAttempt):
        status = world.carrier.fetched(attempt.call_sid, now, young=young)
        inquiry.found = {} if status is None else {attempt.call_sid: status}
        return
    shown = world.carrier.shown(attempt.to_number, seconds(attempt.created_at), now, young=young)
    owned = await world.store.owned_sids(list(shown))
    inquiry.found = {sid: status for sid, status in shown.items() if sid not in owned}


async def conclude(world: World, daemon: Daemon, inquiry: Inquiry) -> None:
    """Write down what follows from the answer."""
    daemon.inquiries.remove(inquiry)
    attempt = inquiry.attempt
    if inquiry.found is None:
        if attempt.overdue:
            await _give_up(world, attempt)
    elif isinstance(attempt, SilentAttempt):
        if inquiry.found:
            await take_in(world, attempt.attempt_id, attempt.call_sid, "fetch", inquiry.found[attempt.call_sid])
        elif attempt.overdue:
            await _give_up(world, attempt)
    else:
        await _judge(world, attempt, inquiry.found)


async def look_up(world: World, daemon: Daemon, *, young: bool) -> None:
    """All three, for all that is due, without anything between."""
    await take_on(world, daemon)
    for inquiry in [i for i in daemon.inquiries if not i.asked]:
        await ask(world, inquiry, young=young)
        await conclude(world, daemon, inquiry)


async def _judge(world: World, attempt: UnknownAttempt, found: dict[str, str]) -> None:
    verdict = lookup.of_list(
        tuple(found),
        rivals=attempt.rivals,
        seen_before=attempt.candidate_seen,
        covered=attempt.covered,
        overdue=attempt.overdue,
    )
    match verdict.do:
        case "bind":
            sid = verdict.call_sid or ""
            await take_in(world, attempt.attempt_id, sid, "list", found[sid])
        case "doubt":
            await world.store.note_candidate(attempt.attempt_id)
        case "end":
            await _give_up(world, attempt)
        case "wait" if world.sabotage.gives_up_early:
            await _give_up(world, attempt)


async def _give_up(world: World, attempt: UnknownAttempt | SilentAttempt) -> None:
    end = partial(world.store.end_unknown, attempt.attempt_id, attempt.last_news_at)
    if await world.recover(end) is not None:
        world.tell(attempt.business_id, attempt.slot, attempt.attempt_id, world.daemons)


async def take_in(world: World, attempt: UUID, sid: str, source: str, status: str) -> None:
    """What the carrier shows of a call; whoever hears that it has ended gives its slot back."""
    fact = await world.recover(partial(world.store.take_carrier_event, attempt, sid, source, status))
    if fact.ended_now and fact.business_id is not None and fact.slot is not None:
        world.tell(fact.business_id, fact.slot, attempt, world.daemons)
