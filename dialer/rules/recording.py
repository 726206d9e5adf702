"""What to do about a recording: after each try to fetch it, with a redirect, with what the carrier's list shows."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin, urlsplit
from uuid import UUID

MOST_TRIES = 10
LONGEST_DELAY_SECONDS = 600.0
MOST_HOPS = 5
# After so many times the wait for the callback, a list that never showed a recording is believed.
ABSENT_AFTER_WAITS = 20

CONTENT_TYPES = {"mp3": "audio/mpeg", "wav": "audio/x-wav"}
_ACCEPTED = {
    "mp3": {"audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3"},
    "wav": {"audio/x-wav", "audio/wav", "audio/wave", "audio/vnd.wave"},
}
_FILE_NAME = re.compile(r"[0-9]+/[0-9A-Za-z]{1,2}/CA[0-9A-Za-z]{1,64}\.(mp3|wav)")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A recording under our lease. `recording_sid` is None while the carrier has not named it."""

    recording_id: int
    business_id: int
    run_id: int
    job_id: int
    attempt_id: UUID
    account_sid: str
    call_sid: str
    recording_sid: str | None
    file_name: str
    lease_epoch: int
    retry_count: int
    taken_over: bool
    age_seconds: float

    @property
    def format(self) -> str:
        """`mp3` or `wav`."""
        return self.file_name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Kept:
    """A file under its final name: whole, and safe against a power cut."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A try that gave no file. `code` is for programs, `reason` for people: ours, never a foreign text.

    `lasting`: no other try will help. `bounded`: so many tries and no more. `wait_seconds`: at least so long.
    """

    code: str
    reason: str
    lasting: bool = False
    bounded: bool = True
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A recording as the carrier's list shows it."""

    recording_sid: str
    status: str
    source: str | None = None
    duration_seconds: int | None = None
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a recording without a file: `again` after the delay, or the end."""

    do: Literal["again", "end"]
    code: str
    reason: str
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a redirect leads; `trusted`: still the carrier itself, which alone gets our credentials."""

    url: str
    trusted: bool


def unfetchable(claimed: Claimed, account_sid: str) -> Trouble | None:
    """Why not even to try; None: try."""
    if claimed.account_sid != account_sid:
        return Trouble("refused", "the call was made with another account", lasting=True)
    if claimed.taken_over and claimed.retry_count >= MOST_TRIES:
        return Trouble("gave_up", "whoever fetched it ended before it was done, each time", lasting=True)
    return None


def after(trouble: Trouble, claimed: Claimed, first_delay_seconds: float, spread: float) -> Next:
    """Decide after a try that failed. `spread` (0 to 1) keeps those that failed together apart."""
    if trouble.lasting:
        return Next("end", trouble.code, trouble.reason)
    if trouble.bounded and claimed.retry_count + 1 >= MOST_TRIES:
        return Next("end", "gave_up", f"after {MOST_TRIES} tries: {trouble.reason}")
    grown = min(first_delay_seconds * 2**claimed.retry_count, LONGEST_DELAY_SECONDS)
    delay = max(grown * (1 + spread / 4), min(trouble.wait_seconds or 0.0, LONGEST_DELAY_SECONDS))
    return Next("again", trouble.code, trouble.reason, delay)


def of_status(status: int, wait_seconds: float | None, *, trusted: bool) -> Trouble | None:
    """What an answer's status means; None: its body is the recording. `trusted`: the carrier itself answers."""
    if status == 200:
        return None
    if status == 404:
        return Trouble("not_ready", "the carrier does not have it yet (HTTP 404)")
    if status == 410:
        return Trouble("gone", "the carrier has deleted it (HTTP 410)", lasting=True)
    if status in (401, 403) and not trusted:
        # A signed address that has expired: the carrier gives another.
        return Trouble("carrier_trouble", f"the place that it was redirected to answered HTTP {status}")
    if status in (401, 403):
        return Trouble("refused", f"the carrier refuses our credentials (HTTP {status})", lasting=True)
    if status in (408, 425, 429) or status >= 500:
        return Trouble("carrier_trouble", f"the carrier answered HTTP {status}", wait_seconds=wait_seconds)
    return Trouble("refused", f"the carrier refused (HTTP {status})", lasting=True)


def of_type(content_type: str, wanted: str) -> Trouble | None:
    """Is this sound in the wanted format (`mp3`, `wav`)? None: it is."""
    if content_type.partition(";")[0].strip().lower() in _ACCEPTED[wanted]:
        return None
    return Trouble("wrong_type", f"the answer was no {wanted}", lasting=True)


def of_length(received: int, promised: int | None) -> Trouble | None:
    """Is it whole, as far as lengths tell? None: it is."""
    if received == 0:
        return Trouble("empty", "the answer was empty")
    if promised is not None and received != promised:
        return Trouble("truncated", f"{received} bytes of {promised} came")
    return None


def hop(url: str, location: str, base: str, trusted: bool) -> Hop | None:
    """Follow a redirect, or not (None): from https to http only where the carrier is on this very machine.

    Once a redirect has led away from the carrier, nothing that follows gets our credentials.
    """
    try:
        target = urljoin(url, location)
        parts, home = urlsplit(target), urlsplit(base)
        there, here = (parts.scheme, parts.hostname, _port(target)), (home.scheme, home.hostname, _port(base))
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    if parts.scheme == "http" and urlsplit(url).scheme == "https" and not is_loopback(base):
        return None
    return Hop(target, trusted and there == here)


def of_list(listed: list[Listed], age_seconds: float, silent_seconds: float) -> Listed | Trouble:
    """Which of the recordings listed for a call is the one that we asked for; or why there is none.

    The carrier names a recording long before its sound can be had, so one that is listed is worth trying.
    """
    ours = [r for r in listed if r.source in (None, "OutboundAPI")] or listed
    usable = [r for r in ours if r.status not in ("absent", "failed", "deleted")]
    if usable:
        return usable[0]
    if ours:
        made = "absent" if ours[0].status == "absent" else "carrier_failed"
        reason = "the carrier made no recording of this call"
        return Trouble(
            made, reason if made == "absent" else "the carrier could not make the recording", lasting=True
        )
    if age_seconds >= ABSENT_AFTER_WAITS * silent_seconds:
        return Trouble("absent", "the carrier lists no recording of this call", lasting=True)
    reason = "the carrier does not list it yet"
    return Trouble("not_listed", reason, bounded=False, wait_seconds=silent_seconds)


def is_file_name(name: str) -> bool:
    """Is this a name below the store's root, and nothing else?"""
    return _FILE_NAME.fullmatch(name) is not None


def is_loopback(url: str) -> bool:
    """Does this URL lead to this very machine?"""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
