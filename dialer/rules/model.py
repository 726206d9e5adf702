"""The nouns: what is passed between edges and loops. Times are seconds on the process's own clock."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Terms:
    """A run as it was claimed: the lease (epoch) and what its calls are placed with."""

    run_id: int
    business_id: int
    lease_epoch: int
    concurrency: int
    business_limit: int
    queued: int
    resumed: bool
    from_number: str
    twiml: str | None
    url: str | None
    record: bool
    machine_detection: bool
    ring_timeout_seconds: int
    call_time_limit_seconds: int
    taken_over: bool = False  # from a holder that fell silent


@dataclass(frozen=True, slots=True)
class Grant:
    """A slot named for an attempt that does not exist yet. Worth nothing until the intent is committed."""

    run_id: int
    attempt_id: UUID
    slot: int


@dataclass(frozen=True, slots=True)
class Intent:
    """A committed attempt: from now on, and only from now on, its call may be asked for."""

    attempt_id: UUID
    slot: int
    job_id: int
    position: int
    phone: str
    lead_id: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A grant that Postgres did not turn into an intent, and why (see migration 0004)."""

    attempt_id: UUID
    slot: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Intents:
    """The answer to one intent statement."""

    written: tuple[Intent, ...]
    refused: tuple[Refusal, ...]
    business_limit: int | None
    queued_left: int | None


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that may have a call, as Postgres has it."""

    attempt_id: UUID
    run_id: int
    slot: int
    job_id: int | None = None


@dataclass(frozen=True, slots=True)
class Business:
    """What Redis ought to show of a business: its limit and its live attempts."""

    business_id: int
    limit: int
    live: tuple[LiveAttempt, ...]


class CarrierEvent(NamedTuple):
    """What the carrier says of the call of an attempt, in the order in which `take_carrier_event` takes it.

    `source`: answer (to the create), callback, list or fetch. `duration_seconds` is that of the conversation.
    """

    attempt_id: UUID
    call_sid: str
    source: str
    sequence: int | None
    status: str
    at: datetime | None = None
    duration_seconds: int | None = None
    answered_by: str | None = None
    error_code: int | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """What a carrier event did to our rows (see `take_carrier_event` in migrations 0005 and 0011).

    Without a business: the attempt is not known.
    """

    result: str
    business_id: int | None
    run_id: int | None
    job_id: int | None
    slot: int | None
    call_sid: str | None
    state: str | None
    disposition: str | None
    ended_now: bool
    hangup_requested: bool
