"""Fetches recordings: claims, downloads, makes safe, says so. One task a recording; dialing shares nothing with it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from dialer.crashpoints import passed
from dialer.edges.carrier import Carrier, CarrierAway
from dialer.edges.media import Media
from dialer.edges.recordings_store import RecordingsStore
from dialer.edges.shelf import Shelf, ShelfAway
from dialer.errors import DatabaseAway
from dialer.rhythm import cancelled, report
from dialer.rules import recording
from dialer.rules.recording import CONTENT_TYPES, Claimed, Kept, Trouble
from dialer.rules.tally import Tally
from dialer.telemetry import logger

AT_ONCE = 50
WRITE_AGAIN_SECONDS = 0.5
RENEWALS_A_LEASE = 5
CANCEL_SECONDS = 1.0

T = TypeVar("T")

log = logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """How recordings are fetched. The lease is their own, and long: a download costs more than a look."""

    worker: UUID
    per_business: int
    sound: str
    lease_seconds: float
    silent_seconds: float
    first_delay_seconds: float


@dataclass(slots=True)
class _Held:
    claimed: Claimed
    task: "asyncio.Future[None]"
    renewed_at: float
    # Its outcome is being written: guarded by the epoch, so that it may be tried whatever became of the lease.
    settling: bool = False


class Recordings:
    """`look` claims, `renew` keeps what is claimed; `room` is called when there is place for more."""

    def __init__(
        self,
        store: RecordingsStore,
        media: Media,
        shelf: Shelf,
        carrier: Carrier,
        terms: Terms,
        clock: Callable[[], float],
        room: Callable[[], None],
        tally: Tally,
    ) -> None:
        self._store = store
        self._media = media
        self._shelf = shelf
        self._carrier = carrier
        self._terms = terms
        self._clock = clock
        self._room = room
        self._tally = tally
        self._held: dict[int, _Held] = {}
        self._stopped = False

    @property
    def renew_every_seconds(self) -> float:
        """How often `renew` is to be called."""
        return self._terms.lease_seconds / RENEWALS_A_LEASE

    # -- claims and leases ------------------------------------------------------------------------------

    async def look(self) -> None:
        """Claim as many as there is place for, and begin with them. Raises DatabaseAway."""
        if self._stopped or len(self._held) >= AT_ONCE:
            return
        t, asked_at = self._terms, self._clock()
        claimed = await self._store.claim(
            t.worker,
            AT_ONCE - len(self._held),
            per_business=t.per_business,
            sound=t.sound,
            lease_seconds=t.lease_seconds,
            silent_seconds=t.silent_seconds,
        )
        if claimed:
            passed("recording.claimed")
        for one in claimed:
            self._begin(one, asked_at)

    def _begin(self, claimed: Claimed, at: float) -> None:
        _say("WORKER_PICKED", claimed, recording_sid=claimed.recording_sid, taken_over=claimed.taken_over)
        before = self._held.get(claimed.recording_id)
        if before is not None:
            before.task.cancel()
        held = _Held(claimed, asyncio.ensure_future(self._serve(claimed)), at)
        self._held[claimed.recording_id] = held
        held.task.add_done_callback(lambda _: self._ended(held))

    def _ended(self, held: _Held) -> None:
        if self._held.get(held.claimed.recording_id) is held:
            del self._held[held.claimed.recording_id]
        report(held.task)
        self._room()

    async def renew(self) -> None:
        """Prolong the leases of what is under way; end what was lost, or may have been. Raises DatabaseAway."""
        asked, at = dict(self._held), self._clock()
        if not asked:
            return
        epochs = {i: held.claimed.lease_epoch for i, held in asked.items()}
        try:
            kept = await self._store.renew(self._terms.worker, epochs)
        except DatabaseAway:
            for held in asked.values():
                if not self._is_ours(held) and not held.settling:
                    held.task.cancel()
            raise
        for recording_id, held in asked.items():
            if recording_id in kept:
                held.renewed_at = at
            elif not held.settling:
                held.task.cancel()

    def _is_ours(self, held: _Held) -> bool:
        """A fifth of the lease is left for clocks that run at different speeds."""
        return self._clock() < held.renewed_at + self._terms.lease_seconds * (1 - 1 / RENEWALS_A_LEASE)

    # -- one recording ----------------------------------------------------------------------------------

    async def _serve(self, claimed: Claimed) -> None:
        _say("WORKER_SLOT_ACQUIRED", claimed)
        began_at, reason = self._clock(), "interrupted"
        try:
            named = await self._named(claimed)
            if isinstance(named, Claimed):
                claimed = named
                result = await self._fetch(claimed)
            else:
                result = named
            reason = await self._settle(claimed, result, began_at)
        finally:
            _say("WORKER_RELEASE_SLOT", claimed, reason=reason)

    async def _named(self, claimed: Claimed) -> Claimed | Trouble:
        """With the carrier's name for it: asked for in its list, when no callback has told us."""
        refusal = recording.unfetchable(claimed, self._carrier.account_sid)
        if refusal is not None or claimed.recording_sid is not None:
            return refusal or claimed
        try:
            listed = await self._carrier.recordings_of(claimed.call_sid)
        except CarrierAway as error:
            log.warning("LOOK_UP_FAILED", call_sid=claimed.call_sid, error=str(error))
            return Trouble("carrier_trouble", "the carrier's list of recordings could not be read")
        found = recording.of_list(listed, claimed.age_seconds, self._terms.silent_seconds)
        if isinstance(found, Trouble):
            return found
        if not await self._insist(lambda: self._store.name(claimed, found)):
            return Trouble("renamed", "the carrier has named it meanwhile", bounded=False)
        return replace(claimed, recording_sid=found.recording_sid)

    async def _fetch(self, claimed: Claimed) -> Kept | Trouble:
        try:
            draft = await self._shelf.begin(claimed.file_name, claimed.lease_epoch)
            if isinstance(draft, Kept):
                return draft
            passed("recording.begun")
            kept = None
            try:
                received = await self._media.fetch(claimed, draft.write)
                if isinstance(received, Trouble):
                    return received
                passed("recording.received")
                kept = await draft.keep()
            finally:
                if kept is None:
                    await draft.discard()
        except ShelfAway as error:
            log.warning("STORE_AWAY", call_sid=claimed.call_sid, error=str(error))
            # Ours to mend, however long that takes: the recording stays where it is.
            return Trouble("storage", "the store could not take it", bounded=False)
        passed("recording.kept")
        return kept

    # -- what became of it ------------------------------------------------------------------------------

    async def _settle(self, claimed: Claimed, result: Kept | Trouble, began_at: float) -> str:
        """Write it down; returns a word for the log."""
        self._held[claimed.recording_id].settling = True
        if isinstance(result, Kept):
            return await self._complete(claimed, result, began_at)
        spread = random.random()  # noqa: S311 - spreads tries apart
        step = recording.after(result, claimed, self._terms.first_delay_seconds, spread)
        if step.do == "end" and await self._insist(lambda: self._store.fail(claimed, step)):
            log.warning("WORKER_JOB_FAILED", **_about(claimed), reason=step.reason, type=step.code)
            self._tally.recordings["absent" if step.code == "absent" else "failed"] += 1
            return "failed"
        # When it could not be ended the carrier has named it meanwhile: then this makes it due at once.
        ours = await self._insist(lambda: self._store.again(claimed, step))
        if not ours:
            return "lost"
        self._tally.recordings["not_stored" if step.code == "storage" else "again"] += 1
        return step.code

    async def _complete(self, claimed: Claimed, kept: Kept, began_at: float) -> str:
        content_type = CONTENT_TYPES[claimed.format]
        if not await self._insist(lambda: self._store.complete(claimed, kept, content_type)):
            log.warning("LOCK_TOKEN_MISMATCH", **_about(claimed), what="recording completed")
            return "lost"
        passed("recording.completed")
        self._tally.recordings["completed"] += 1
        milliseconds = round((self._clock() - began_at) * 1000)
        file = claimed.file_name.rpartition("/")[2]
        _say("WORKER_DOWNLOAD_DONE", claimed, file=file, bytes=kept.bytes, duration_ms=milliseconds)
        return "done"

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Until Postgres answers."""
        while True:
            try:
                return await ask()
            except DatabaseAway:
                await asyncio.sleep(WRITE_AGAIN_SECONDS)

    # -- the end ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopped = True

    async def drain(self, seconds: float) -> None:
        """Wait so long for downloads; give back what is not done by then. Raises DatabaseAway: leases expire."""
        self.stop()
        held = list(self._held.values())
        if not held:
            return
        _, unfinished = await asyncio.wait([h.task for h in held], timeout=seconds)
        await cancelled(list(unfinished), CANCEL_SECONDS)
        for one in held:
            if one.task in unfinished:
                await self._store.give_back(one.claimed)


def _say(event: str, claimed: Claimed, **fields: Any) -> None:
    log.info(event, **_about(claimed), **fields)


def _about(claimed: Claimed) -> dict[str, Any]:
    return {"job_type": "recording", "business_id": claimed.business_id, "call_sid": claimed.call_sid}
