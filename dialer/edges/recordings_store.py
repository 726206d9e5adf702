"""Recordings in Postgres. Connections of its own: dialing never waits for one that recordings hold.

Every write names the lease's epoch; False means that it was lost. Every method raises DatabaseAway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from dialer.edges.pool import PREPARED, Statements
from dialer.rules.recording import Claimed, Kept, Listed, Next

CONNECTIONS = 3


@dataclass(frozen=True, slots=True)
class Expired:
    """A file that has been kept long enough."""

    recording_id: int
    business_id: int
    call_sid: str
    file_name: str


@dataclass(frozen=True, slots=True)
class AtCarrier:
    """A recording of which the carrier's copy is not wanted any more."""

    recording_id: int
    business_id: int
    call_sid: str
    recording_sid: str


class RecordingsStore(Statements):
    """What fetching and keeping recordings asks of Postgres."""

    @classmethod
    async def connect(cls, dsn: str, connections: int = CONNECTIONS, *, prepared: int = PREPARED) -> Self:
        return await super().connect(dsn, connections, prepared=prepared)

    async def claim(
        self,
        worker: UUID,
        count: int,
        *,
        per_business: int,
        sound: str,
        lease_seconds: float,
        silent_seconds: float,
    ) -> list[Claimed]:
        """Take recordings to fetch; of one business never more at once than that, over all daemons."""
        rows = await self._rows(
            "claim_recordings", worker, count, per_business, sound, lease_seconds, silent_seconds
        )
        return [Claimed(**row) for row in rows]

    async def renew(self, worker: UUID, epochs: Mapping[int, int]) -> set[int]:
        """Prolong leases (recording -> epoch); returns those that are still ours."""
        rows = await self._rows("renew_recordings", worker, list(epochs), list(epochs.values()))
        return {r["recording_id"] for r in rows}

    async def complete(self, claimed: Claimed, kept: Kept, content_type: str) -> bool:
        """It is whole and safe. Repeat it until it is answered."""
        return bool(
            await self._rows(
                "complete_recording",
                claimed.recording_id,
                claimed.lease_epoch,
                kept.bytes,
                kept.sha256,
                content_type,
            )
        )

    async def again(self, claimed: Claimed, step: Next) -> bool:
        """Another try, after the delay."""
        return bool(
            await self._rows(
                "release_recording",
                claimed.recording_id,
                claimed.lease_epoch,
                claimed.recording_sid,
                step.delay_seconds,
                True,
                step.code,
                step.reason,
            )
        )

    async def give_back(self, claimed: Claimed) -> bool:
        """Not fetched, through no fault of its own: somebody else may, at once."""
        return bool(
            await self._rows(
                "release_recording",
                claimed.recording_id,
                claimed.lease_epoch,
                claimed.recording_sid,
                0.0,
                False,
                None,
                None,
            )
        )

    async def fail(self, claimed: Claimed, step: Next) -> bool:
        """No other try. False also when the carrier has named the recording meanwhile."""
        return bool(
            await self._rows(
                "fail_recording",
                claimed.recording_id,
                claimed.lease_epoch,
                claimed.recording_sid,
                step.code,
                step.reason,
            )
        )

    async def name(self, claimed: Claimed, listed: Listed) -> bool:
        """The carrier's list shows it. False when it was known under another SID by then."""
        rows = await self._rows(
            "take_recording",
            claimed.attempt_id,
            claimed.call_sid,
            listed.recording_sid,
            "completed",
            listed.duration_seconds,
            listed.channels,
        )
        return rows[0]["result"] in ("taken", "repeat")

    async def take_expired(self, days: float, count: int, again_seconds: float) -> list[Expired]:
        """Files older than that; put off, so that one daemon deletes each."""
        rows = await self._rows("take_expired_recordings", days, count, again_seconds)
        return [Expired(**row) for row in rows]

    async def forget(self, recording_id: int) -> None:
        """Its file is deleted."""
        await self._rows("forget_recording", recording_id)

    async def take_at_carrier(self, account_sid: str, count: int, again_seconds: float) -> list[AtCarrier]:
        """Completed recordings of the account that the carrier still has; put off likewise."""
        rows = await self._rows("take_recordings_at_carrier", account_sid, count, again_seconds)
        return [AtCarrier(**row) for row in rows]

    async def note_carrier_deleted(self, recording_id: int) -> None:
        """The carrier has it no more."""
        await self._rows("note_carrier_deleted", recording_id)
