"""Recorded calls as control meets them: told by the carrier, fetched by a daemon (by its own statements)."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sql
from tests.control.house import ACCOUNT, House, news, sid

CONTENT = bytes(range(256)) * 40


def recording_sid() -> str:
    return "RE" + uuid.uuid4().hex


def told(call: str, status: str = "completed", recording: str | None = None, **others: str) -> dict[str, str]:
    """The fields of a recording callback."""
    return {
        "CallSid": call,
        "AccountSid": ACCOUNT,
        "RecordingSid": recording or recording_sid(),
        "RecordingStatus": status,
        "RecordingDuration": "7",
        "RecordingChannels": "1",
        "RecordingUrl": "https://carrier.test/elsewhere",
        "RecordingSource": "OutboundAPI",
        "ErrorCode": "0",
        **others,
    }


async def tell(house: House, attempt: uuid.UUID, fields: dict[str, str]) -> None:
    """Post a callback of whichever kind; it is taken."""
    kind = "recording_status" if "RecordingStatus" in fields else "call_status"
    answer = await house.callback(f"/webhook/{kind}?attempt={attempt}", fields)
    assert answer.status == 204, answer.text


@dataclass(frozen=True)
class Recorded:
    """A recorded call that has ended, and what the carrier called its recording."""

    attempt: uuid.UUID
    call: str
    recording: str


async def recorded_calls(house: House, count: int = 1) -> list[Recorded]:
    """Calls of a new run that have ended; the carrier has told of their recordings, and nobody has fetched them."""
    attempts = await house.attempts(count, record=True)
    calls = [Recorded(attempt, sid(), recording_sid()) for attempt in attempts]
    for one in calls:
        await tell(house, one.attempt, news(one.call, 3, "completed", CallDuration="7"))
        await tell(house, one.attempt, told(one.call, recording=one.recording))
    return calls


async def recorded_call(house: House) -> Recorded:
    (one,) = await recorded_calls(house)
    return one


async def claim(house: House, call: str) -> Any:
    """As a daemon takes it: with all others that are due."""
    rows = await house.pool.fetch(sql.query("claim_recordings"), uuid.uuid4(), 100, 100, "mp3", 60.0, 0.0)
    return next(row for row in rows if row["call_sid"] == call)


async def fetch(house: House, root: Path, call: str, content: bytes = CONTENT) -> Path:
    """As a daemon fetches it: the file is where it belongs, then the row says so."""
    row = await claim(house, call)
    path = root / str(row["file_name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    facts = (len(content), hashlib.sha256(content).hexdigest(), "audio/mpeg")
    assert await house.pool.fetch(sql.query("complete_recording"), row["recording_id"], row["lease_epoch"], *facts)
    return path


async def give_up(house: House, call: str, code: str = "refused", why: str = "the carrier refuses it") -> None:
    """As a daemon ends one that cannot be fetched."""
    row = await claim(house, call)
    assert await house.pool.fetch(
        sql.query("fail_recording"), row["recording_id"], row["lease_epoch"], row["recording_sid"], code, why
    )


async def all_rows(house: House) -> list[tuple[Any, ...]]:
    """Everything that is known of recordings, of who did what, and of events: to see that a look changed nothing."""
    rows = await house.pool.fetch(
        """SELECT 'recording', r::text FROM recording_runs r
           UNION ALL SELECT 'audit', a::text FROM audit_log a WHERE a.action = 'retry_recording'
           UNION ALL SELECT 'event', e::text FROM outbound_call_events e
           UNION ALL SELECT 'orphan', o::text FROM orphan_callbacks o ORDER BY 1, 2"""
    )
    return [tuple(row) for row in rows]
