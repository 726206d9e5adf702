"""Lets go of recordings: files that were kept long enough, and the carrier's copies once ours are safe.

The file goes before the row says so: a crash between them is repaired by deleting what is gone already.
"""

from dialer.edges.carrier import Carrier, CarrierAway
from dialer.edges.recordings_store import AtCarrier, Expired, RecordingsStore
from dialer.edges.shelf import Shelf, ShelfAway
from dialer.telemetry import logger

BATCH = 100
# One that could not be deleted is tried again after this time, by whatever daemon.
AGAIN_SECONDS = 60.0

log = logger()


class Retention:
    """`days` 0: files are kept for ever. `at_carrier`: delete the carrier's copies."""

    def __init__(
        self, store: RecordingsStore, shelf: Shelf, carrier: Carrier, *, days: float, at_carrier: bool
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._carrier = carrier
        self._days = days
        self._at_carrier = at_carrier

    async def tidy(self) -> None:
        """Delete what is due now. Raises DatabaseAway; the rest is done next time, by whomever."""
        if self._days > 0:
            for expired in await self._store.take_expired(self._days, BATCH, AGAIN_SECONDS):
                await self._expire(expired)
        if self._at_carrier:
            for copy in await self._store.take_at_carrier(self._carrier.account_sid, BATCH, AGAIN_SECONDS):
                await self._clear(copy)

    async def _expire(self, expired: Expired) -> None:
        try:
            await self._shelf.delete(expired.file_name)
        except ShelfAway as error:
            log.warning("RECORDING_NOT_DELETED", call_sid=expired.call_sid, error=str(error))
            return
        await self._store.forget(expired.recording_id)
        log.info("RECORDING_EXPIRED", business_id=expired.business_id, call_sid=expired.call_sid)

    async def _clear(self, copy: AtCarrier) -> None:
        try:
            await self._carrier.delete_recording(copy.recording_sid)
        except CarrierAway as error:
            log.warning("RECORDING_NOT_DELETED", call_sid=copy.call_sid, error=str(error))
            return
        await self._store.note_carrier_deleted(copy.recording_id)
        log.info("CARRIER_COPY_DELETED", business_id=copy.business_id, call_sid=copy.call_sid)
