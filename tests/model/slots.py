"""Trips to Redis, reconciliations, and what can become of Redis. Each trip is checked as it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID

from dialer.errors import RedisAway
from dialer.rules.holding import Holding
from dialer.rules.model import Grant
from tests.model import rows
from tests.model.clock import REDIS_MS_PER_SECOND
from tests.model.daemon import Daemon, Reading
from tests.model.invariants import check_reconcile, check_turn
from tests.model.world import World

T = TypeVar("T")

GRACE_MS = 2 * REDIS_MS_PER_SECOND
TRIES = 50


async def held(world: World, business: int) -> tuple[dict[int, tuple[str, int]], bool]:
    """The members of a business (see invariants.Held), and whether the generation is there."""
    fields = await world.redis.hgetall(world.keys(business)[0])
    has_generation = fields.pop(b"generation", None) is not None
    split = {int(slot): text.decode().split("|") for slot, text in fields.items()}
    return {slot: (attempt, int(expires)) for slot, (attempt, _, expires) in split.items()}, has_generation


async def turn(world: World, daemon: Daemon, business: int) -> None:
    """One trip: give back, confirm, ask. With the slots lost they are rebuilt."""
    before, has_generation = await held(world, business)
    said = daemon.write_down(business, world.clock.now)
    if world.sabotage.frees_by_number:
        said.release = [(slot, UUID(before[slot][0])) for slot, _ in said.release if slot in before]
    answer = await _patiently(lambda: daemon.slots.turn(said))
    after, _ = await held(world, business)
    check_turn(before, has_generation, said, answer, after, await _may_have_calls(world))
    if answer.generation:
        daemon.grant(business, answer.granted)
    else:
        await read(world, daemon, business)
        await reconcile(world, daemon, business)


async def read(world: World, daemon: Daemon, business: int) -> None:
    """The first half of a reconciliation: what does Postgres show?"""
    read_ms = await _patiently(partial(daemon.slots.now_ms, business))
    [found] = await world.store.businesses([business])
    daemon.readings[business] = Reading(found, read_ms, world.clock.now)


async def reconcile(world: World, daemon: Daemon, business: int) -> None:
    """The second half, however long after the first."""
    reading = daemon.readings.pop(business)
    daemon.see(reading)
    before, _ = await held(world, business)
    # What passed in the model since then did not pass on Redis's own clock.
    read_ms = reading.read_ms - int((world.clock.now - reading.read_at) * REDIS_MS_PER_SECOND)
    compare = partial(daemon.slots.reconcile, reading.business, read_ms, grace_ms=GRACE_MS)
    drift = await _patiently(compare)
    after, _ = await held(world, business)
    check_reconcile(before, after, await _may_have_calls(world))
    again = await _patiently(compare)
    found = (again.rebuilt, again.removed, again.added, again.granted, (await held(world, business))[0])
    assert found == (False, 0, 0, (), after), f"I18: reconciled twice: {after}, {found}"
    daemon.grant(business, drift.granted)
    await _refill(world, daemon)


async def name_by_postgres(world: World, daemon: Daemon, holding: Holding) -> None:
    """With Redis away: what was to be said to it is forgotten, and Postgres shows which slots are free."""
    business = holding.terms.business_id
    tickets = daemon.forget_redis(holding, world.clock.now)
    reserved = {slot for h in daemon.runs.values() for slot in h.reserved.values()}
    free = await world.store.free_slots(business, len(tickets) + len(reserved))
    grants = zip(tickets, (slot for slot in free if slot not in reserved), strict=False)
    daemon.grant(business, [Grant(holding.terms.run_id, ticket, slot) for ticket, slot in grants])


async def _patiently(trip: Callable[[], Awaitable[T]]) -> T:
    """Every trip may be repeated; on a busy machine Redis does not always answer within the daemons' time-out."""
    for _ in range(TRIES):
        try:
            return await trip()
        except RedisAway:
            continue
    return await trip()


async def _refill(world: World, daemon: Daemon) -> None:
    """A run that looks empty may have got a job back from somebody else."""
    dry = [run for run, holding in daemon.runs.items() if holding.queued == 0]
    for run, queued in (await world.store.queued_left(dry)).items():
        if queued:
            daemon.runs[run].queued, daemon.runs[run].cursor = queued, -1


async def _may_have_calls(world: World) -> set[str]:
    """Live attempts, but for those that their daemon knows it never sent, though it cannot tell whether they exist."""
    unsent = {str(a) for daemon in world.daemons for _, ids in daemon.uncertain for a in ids}
    return await rows.live_ids(world.db) - unsent


@dataclass
class Disk:
    """What Redis wrote down of a business, and when."""

    at: float = 0.0
    values: dict[str, bytes] = field(default_factory=dict)


async def wipe(world: World, business: int) -> None:
    """Redis loses all it had of a business."""
    await world.redis.delete(*world.keys(business))


async def save(world: World, business: int) -> Disk:
    """Redis writes what it has to its disk."""
    dumps = {key: await world.redis.dump(key) for key in world.keys(business)}
    return Disk(world.clock.now, {key: value for key, value in dumps.items() if value is not None})


async def restore(world: World, business: int, disk: Disk) -> None:
    """Redis comes back with what it wrote down once."""
    await wipe(world, business)
    for key, value in disk.values.items():
        await world.redis.restore(key, 0, value)
    await world.clock.age(world.keys(business), world.clock.now - disk.at)
