"""The daemon: opens what it needs, builds the loops, serves, drains, closes.

Stopping is the reverse of importance: what starts calls stops first, what keeps leases alive stops last.
"""

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar
from uuid import UUID, uuid4

from dialer import beginning
from dialer.archive import Archive
from dialer.config import Settings, secret
from dialer.edges import wakeup
from dialer.edges.carrier import Carrier
from dialer.edges.clock import boot_seconds
from dialer.edges.glance import Glance
from dialer.edges.heart import Heart
from dialer.edges.pace import Pace
from dialer.edges.slots import Slots
from dialer.edges.wakeup import Hint, Listener
from dialer.held import Edges
from dialer.leaving import CANCEL_SECONDS, Leaving
from dialer.liveness import Liveness
from dialer.loops.claimer import Claimer
from dialer.loops.inquirer import Freed, Inquirer
from dialer.loops.keeper import Keeper
from dialer.loops.pacer import Pacer
from dialer.loops.reconciler import Reconciler
from dialer.loops.sweeper import Sweeper
from dialer.loops.wire import Wire
from dialer.rhythm import Rhythm, cancelled, insist
from dialer.roster import Roster
from dialer.rules.tally import Tally
from dialer.telemetry import logger

SCAN_EVERY_SECONDS = 1.0
COMPARE_EVERY_SECONDS = 2.0
COMPARE_OTHERS_EVERY_SECONDS = 60.0
SWEEP_EVERY_SECONDS = 4.0
# At the most: a fifth of the time after which a call is silent, or unknown.
LOOK_EVERY_SECONDS = 2.0
# No look for runs takes so long while Postgres answers.
STANDSTILL_SECONDS = 300.0

T = TypeVar("T")

log = logger()


class Daemon:
    """One process of the dialer. `run` returns when it was told to `stop` and nothing is left to do."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = boot_seconds) -> None:
        self._settings = settings
        self._clock = clock
        self.worker: UUID = uuid4()
        self._tally = Tally()
        self._told_to_stop = False
        self._stopping = asyncio.Event()
        self._insisted = asyncio.Event()
        self._liveness = Liveness(settings, "Postgres and its schema")

    def stop(self) -> None:
        """Drain and leave. A second time: leave at once, whatever is on the wire."""
        if self._told_to_stop:
            self._insisted.set()
        self._told_to_stop = True
        self._stopping.set()
        self._liveness.stopping()

    def drain(self) -> None:
        """The same, wanted by somebody elsewhere, who asks until it is done: no number of times is to insist."""
        if not self._stopping.is_set():
            log.info("DRAIN_REQUESTED", worker=str(self.worker))
            self._stopping.set()

    async def run(self) -> None:
        """Open, serve until stopped, drain, close."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(cancelled, [asyncio.ensure_future(self._liveness.run())])
            if not await self._open(stack):
                return
            self._build()
            await self._serve()

    # -- open and build ---------------------------------------------------------------------------------

    async def _open(self, stack: AsyncExitStack) -> bool:
        """Open the edges, waiting for Postgres and its schema. False when stopped meanwhile."""
        store = await self._unless_stopped(beginning.connect(self._settings))
        if store is None:
            return False
        self._store = store
        stack.push_async_callback(store.close)
        if await self._unless_stopped(beginning.await_schema(self._settings, store)) is None:
            return False
        await self._unless_stopped(beginning.warm_up(store))
        namespace = await self._unless_stopped(insist(store.installation))
        if namespace is None:
            return False
        self._namespace = namespace
        url = secret(self._settings.redis_url)
        self._slots = Slots(url, self._namespace, self.worker, self._tally)
        stack.push_async_callback(self._slots.close)
        self._glance = Glance(url, self._namespace)
        stack.push_async_callback(self._glance.close)
        self._hints = wakeup.client(url)
        stack.push_async_callback(self._hints.aclose)
        self._carrier = Carrier(
            self._settings.twilio_account_sid or "",
            secret(self._settings.twilio_auth_token),
            self._settings.twilio_api_base_url,
            self._settings.callback_base_url,
            self._settings.twilio_timeout_seconds,
            self._tally,
        )
        stack.push_async_callback(self._carrier.close)
        self._pace = None
        if self._settings.twilio_calls_per_second > 0:
            self._pace = Pace(
                url, self._namespace, self._carrier.account_sid, self._settings.twilio_calls_per_second
            )
            stack.push_async_callback(self._pace.close)
        archive = await self._unless_stopped(
            Archive.open(stack, self._settings, self._carrier, self.worker, self._clock, self._tally)
        )
        if archive is None:
            return False
        self._archive = archive
        return True

    def _build(self) -> None:
        self._build_dialing()
        self._build_looking()

    def _build_dialing(self) -> None:
        """What holds runs and dials them."""
        s, store = self._settings, self._store
        lease, beat = s.takeover_after_seconds, s.heartbeat_interval_seconds
        margin = min(1.0, lease / 6)
        pacer = Pacer(self._pace, lambda: store.live_daemons(lease), self._clock)
        self._roster = Roster(
            self.worker,
            Edges(
                store,
                self._slots,
                self._carrier,
                pacer,
                Wire(),
                self._tally,
                self._publish,
                lambda: self._claims.wake(),
            ),
            lease_seconds=lease,
            margin_seconds=margin,
            clock=self._clock,
        )
        # A beat and two that time out must fit into the lease.
        heart = Heart(
            secret(s.database_url),
            self.worker,
            min(1.5, (lease - margin - beat) / 2),
            prepared=s.database_statement_cache_size,
        )
        self._keeper = Keeper(
            heart,
            self._roster.epochs,
            self._roster.beaten,
            self._roster.is_degraded,
            self.drain,
            self._tally,
            interval_seconds=beat,
            clock=self._clock,
        )

    def _build_looking(self) -> None:
        """What looks again and again: for runs, for calls in doubt, for what differs."""
        s, store, lease = self._settings, self._store, self._settings.takeover_after_seconds
        claimer = Claimer(
            store,
            self.worker,
            takeover_seconds=lease,
            resume_seconds=s.resume_within_seconds,
            held=self._roster.trusted_runs,
            refused=lambda: self._roster.gate.reason,
            take=self._roster.take,
            clock=self._clock,
        )
        inquirer = Inquirer(
            store,
            self._carrier,
            self._freed,
            silent_seconds=s.call_silent_after_seconds,
            unknown_seconds=s.unknown_after_seconds,
            lag_seconds=s.carrier_list_lag_seconds,
        )
        self._reconciler = Reconciler(store, self._slots, self._glance, lambda: self._roster.desks, self._clock)
        sweeper = Sweeper(store)
        self._claims = Rhythm("claim", min(SCAN_EVERY_SECONDS, lease / 4), claimer.look)
        look_every = min(LOOK_EVERY_SECONDS, s.call_silent_after_seconds / 5, s.unknown_after_seconds / 5)
        self._others = [
            Rhythm("compare", min(COMPARE_EVERY_SECONDS, lease / 3), self._compare),
            Rhythm(
                "compare others", min(COMPARE_OTHERS_EVERY_SECONDS, 2 * lease), self._reconciler.compare_others
            ),
            Rhythm("ask silent", look_every, inquirer.ask_silent),
            Rhythm("search unknown", look_every, inquirer.search_unknown),
            Rhythm("sweep", SWEEP_EVERY_SECONDS, sweeper.sweep),
            *self._archive.rhythms,
        ]

    # -- serve ------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        await insist(lambda: self._store.register_daemon(self.worker, socket.gethostname(), os.getpid()))
        self._keeper.start()
        # What is there by now stays: the collector need not go through it again and again while calls wait.
        gc.freeze()
        claiming = asyncio.ensure_future(self._claims.run())
        keeping = [
            asyncio.ensure_future(work)
            for work in (self._keeper.show_progress(), self._listen(), *(r.run() for r in self._others))
        ]
        log.info("STARTUP", process="dialer", worker=str(self.worker), pid=os.getpid())
        self._show_life()
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([stopped, claiming, *keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Each wait has an end: a Postgres that does not answer must not keep us.
            await cancelled([stopped, claiming], CANCEL_SECONDS)
            await self._drain()
            await asyncio.gather(
                self._keeper.stop(), cancelled(keeping, CANCEL_SECONDS), self._roster.close(CANCEL_SECONDS)
            )
        for task in done - {stopped}:
            # No loop ends by itself: whatever ended one is a fault, and a supervisor starts us anew.
            task.result()
            raise RuntimeError("a loop ended")

    def _show_life(self) -> None:
        # A round of the thread, time-outs and all, is shorter than a lease.
        self._liveness.watch("keeper", lambda: self._keeper.rounds, 2 * self._settings.takeover_after_seconds)
        # Postgres away is an excuse: a claim may wait for it.
        self._liveness.watch("claim", lambda: self._claims.turns + self._keeper.failed_beats, STANDSTILL_SECONDS)
        self._liveness.ready(lambda: f"runs held: {len(self._roster.runs)}")

    async def _listen(self) -> None:
        async for hint in Listener(secret(self._settings.redis_url), self._namespace, self._look_again).hints():
            if hint.kind == "run":
                self._claims.wake()
            elif hint.kind == "recording":
                self._archive.wake()
            self._roster.hear(hint)

    async def _look_again(self) -> None:
        """Hints were missed, or may have been."""
        self._claims.wake()
        self._roster.doubt_all()

    async def _freed(self, freed: Freed) -> None:
        """A look-up ended an attempt: tell ourselves and the others."""
        self._tally.calls[freed.disposition] += 1
        hint = Hint("released", freed.business_id, freed.run_id, str(freed.attempt_id), freed.slot, freed.job_id)
        self._roster.hear(hint)
        await self._publish(hint)

    async def _compare(self) -> None:
        await self._reconciler.compare()
        self._roster.tidy()

    async def _publish(self, hint: Hint) -> None:
        await wakeup.publish(self._hints, self._namespace, hint)

    # -- drain ------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        leaving = Leaving(self.worker, self._store, self._roster, self._archive, self._publish, self._clock)
        await leaving.go(self._insisted)

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Await, but not past a stop; None then."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            await cancelled([task, stopped])
