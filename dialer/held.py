"""A run of ours and what works for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dialer.edges.carrier import Carrier
from dialer.edges.slots import Slots
from dialer.edges.store import Store
from dialer.edges.wakeup import Hint
from dialer.loops.announcer import Announcer
from dialer.loops.caller import Caller
from dialer.loops.desk import Desk
from dialer.loops.pacer import Pacer
from dialer.loops.settler import Settler
from dialer.loops.wire import Wire
from dialer.rhythm import Tasks
from dialer.rules.holding import Holding
from dialer.rules.tally import Tally

if TYPE_CHECKING:
    from dialer.roster import Roster


@dataclass(frozen=True, slots=True)
class Edges:
    """What every run needs, opened by the daemon."""

    store: Store
    slots: Slots
    carrier: Carrier
    pacer: Pacer
    wire: Wire
    tally: Tally
    publish: Callable[[Hint], Awaitable[object]]
    room_for_runs: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Held:
    """A run with its caller, which is at work from the beginning."""

    holding: Holding
    caller: Caller
    line: Announcer
    task: asyncio.Future[None]

    @classmethod
    def at_work(
        cls, holding: Holding, desk: Desk, roster: Roster, edges: Edges, tasks: Tasks, clock: Callable[[], float]
    ) -> Held:
        """Put a caller to work for the run."""
        line = Announcer(holding, edges.store, lambda: roster.active(holding.terms.business_id))
        settler = Settler(holding, desk, line, roster, store=edges.store, carrier=edges.carrier)
        caller = Caller(
            holding,
            desk,
            line,
            roster,
            store=edges.store,
            carrier=edges.carrier,
            settle=settler.settle,
            permits=edges.pacer.permits,
            is_expired=edges.pacer.is_expired,
            gate=roster.gate,
            wire=edges.wire,
            clock=clock,
            unpaced=edges.pacer.is_unlimited,
        )
        return cls(holding, caller, line, tasks.start(caller.serve()))
