"""All that a daemon needs to fetch and keep recordings: opened, driven and closed as one, apart from dialing."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from uuid import UUID

from dialer.config import Settings, secret
from dialer.edges.carrier import Carrier
from dialer.edges.media import Media
from dialer.edges.recordings_store import RecordingsStore
from dialer.edges.shelf import ShelfAway, open_shelf
from dialer.errors import DatabaseAway
from dialer.loops.recordings import AT_ONCE, Recordings, Terms
from dialer.loops.retention import Retention
from dialer.rhythm import Rhythm, insist
from dialer.rules.tally import Tally
from dialer.telemetry import logger

LOOK_EVERY_SECONDS = 1.0
TIDY_EVERY_SECONDS = 5.0
# A download takes long and nobody waits for it: it is taken over later than a run is.
LEASES_OF_A_RUN = 5
DRAIN_SECONDS = 3.0

log = logger()


class Archive:
    """`rhythms` are to be run; `wake` when the carrier has told of a recording; then `drain`."""

    def __init__(
        self, store: RecordingsStore, recordings: Recordings, retention: Retention, silent: float
    ) -> None:
        self._store = store
        self._recordings = recordings
        self._looks = Rhythm("recordings", min(LOOK_EVERY_SECONDS, silent / 5), recordings.look)
        self.rhythms = [
            self._looks,
            Rhythm("renew recordings", recordings.renew_every_seconds, recordings.renew),
            Rhythm("tidy recordings", TIDY_EVERY_SECONDS, retention.tidy),
        ]

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        settings: Settings,
        carrier: Carrier,
        worker: UUID,
        clock: Callable[[], float],
        tally: Tally,
    ) -> "Archive":
        """Open the edges; `stack` closes them. Waits for Postgres. Raises CheckYourSettings."""
        s = settings
        shelf = open_shelf(s)
        stack.push_async_callback(shelf.close)
        try:
            await shelf.open()
        except ShelfAway as error:
            log.warning("STORE_AWAY", error=str(error))
        token, base = secret(s.twilio_auth_token), s.twilio_api_base_url
        media = Media(carrier.account_sid, token, base, s.recording_stall_seconds, AT_ONCE)
        stack.push_async_callback(media.close)
        url, prepared = secret(s.database_url), s.database_statement_cache_size
        store = await insist(lambda: RecordingsStore.connect(url, prepared=prepared))
        stack.push_async_callback(store.close)
        terms = Terms(
            worker,
            s.recording_downloads_per_business,
            s.recording_format,
            lease_seconds=LEASES_OF_A_RUN * s.takeover_after_seconds,
            silent_seconds=s.call_silent_after_seconds,
            first_delay_seconds=s.recording_retry_seconds,
        )
        recordings = Recordings(store, media, shelf, carrier, terms, clock, lambda: archive.wake(), tally)
        retention = Retention(
            store,
            shelf,
            carrier,
            days=s.recording_retention_days,
            at_carrier=s.recording_delete_at_carrier,
        )
        archive = cls(store, recordings, retention, s.call_silent_after_seconds)
        return archive

    def wake(self) -> None:
        """There may be something to fetch."""
        self._looks.wake()

    def stop(self) -> None:
        """Begin nothing more."""
        self._recordings.stop()

    async def drain(self) -> None:
        """Finish what is nearly done, give back the rest."""
        try:
            await self._recordings.drain(DRAIN_SECONDS)
        except DatabaseAway as error:
            log.warning("recordings not given back: their leases expire by themselves", error=str(error))

    def terminate(self) -> None:
        """Cut the connections to Postgres, now."""
        self._store.terminate()
