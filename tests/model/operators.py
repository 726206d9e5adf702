"""What people, control's chores and plain SQL do to runs and businesses."""

from __future__ import annotations

from functools import partial
from typing import Any

import sql
from tests.model import lookups
from tests.model.rows import ENDED
from tests.model.world import World

STALE_SECONDS = 30.0
SWEEP_AT_ONCE = 2

# Over HTTP: the statements of control.
STOPS = ("stop", "cancel", "force_cancel")
HOLDS = ("pause", "resume")
# By hand, past every statement of ours.
BY_HAND = {
    "stop by hand": "UPDATE outbound_call_runs SET status = 'stopped', ended_at = now() WHERE id = $1",
    "cancel by hand": "UPDATE outbound_call_runs SET cancel_requested = true WHERE id = $1",
    "pause by hand": "UPDATE outbound_call_runs SET status = 'paused' WHERE id = $1",
    "end by hand": "UPDATE outbound_call_runs SET status = 'cancelled' WHERE id = $1",
    "fail by hand": "UPDATE outbound_call_runs SET status = 'failed' WHERE id = $1",
}
ORDERS = (*STOPS, *HOLDS, *BY_HAND)


async def order(world: World, run: int, what: str, *, hangup: bool = False) -> None:
    """Somebody wants something of a run."""
    if what in STOPS:
        await _twice(world, "stop_run", run, what, "model", None, hangup)
    elif what in HOLDS:
        await _twice(world, "hold_run", run, what, "model", None)
    elif world.rows.runs[run]["status"] not in ENDED:
        await world.db.execute(BY_HAND[what], run)


async def reap(world: World) -> None:
    """Control stops what nobody has beaten for long."""
    stale = await world.db.fetch(sql.query("stale_runs"), STALE_SECONDS, None)
    for row in stale:
        await _twice(world, "stop_stale_run", row["run_id"], STALE_SECONDS, "reap", "model", "stale")


async def hang_up(world: World, *, settles: bool = False) -> None:
    """Control asks the carrier to end the calls that are to be ended. `settles`: it takes in which were over before."""
    due = await world.db.fetch(sql.query("take_due_hangups"), None, 5.0)
    again = await world.db.fetch(sql.query("take_due_hangups"), None, 5.0) if due else []
    assert not again, f"I18: taken to be hung up twice: {again}"
    for row in due:
        if row["call_sid"] is None:
            continue
        call = world.carrier.calls[row["call_sid"]]
        if call.is_live:
            call.end(world.clock.now)
        elif settles:
            await lookups.take_in(world, row["attempt_id"], call.sid, "fetch", call.status)


async def sweep(world: World) -> None:
    """One batch of every run that is to be swept."""
    for run, _ in await world.store.runs_to_sweep(20):
        await world.store.sweep_run(run, SWEEP_AT_ONCE)
        await world.recover(partial(world.store.mark_swept, run))


async def set_limit(world: World, business: int, limit: int) -> None:
    await world.db.execute("UPDATE businesses SET max_concurrent_calls = $2 WHERE id = $1", business, limit)


async def _twice(world: World, name: str, *args: Any) -> Any:
    """The rows of a statement of control's."""
    return await world.recover(partial(world.db.fetch, sql.query(name), *args))
