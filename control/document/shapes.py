"""What is answered, as models: `openapi` describes the answers by them, and the tests hold the answers to them.

No handler builds its answer through a model: a page of rows is made into JSON once, not twice.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from control.document.payloads import Disposition, JobStatus, RecordingStatus, RunStatus

Count = Annotated[int, Field(ge=0)]
Cursor = Annotated[str | None, Field(description="Ask for the next part with it; null: this was the last.")]


class Shape(BaseModel):
    # More members may come with a newer version: a reader must not stumble over them.
    model_config = ConfigDict(extra="ignore")


class Fault(Shape):
    pointer: Annotated[str, Field(description="A JSON pointer into what was sent; empty: the whole.")]
    detail: str


class Problem(Shape):
    """An error, as in RFC 9457. Programs look at `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: Annotated[list[Fault], Field(description="Everything that is wrong with the input.")] = []


class Rejected(Shape):
    index: Annotated[int, Field(ge=0, description="Its position in the list that was sent, from 0.")]
    code: Literal["invalid_lead", "missing_phone", "invalid_phone"]


class Started(Shape):
    run_id: int
    status: Literal["pending"]
    queued: Count
    rejected: list[Rejected]
    duplicates: Annotated[int, Field(ge=0, description="Numbers that stood in the list before; dialed once.")]


class Run(Shape):
    """total = queued + in_progress + completed + failed + cancelled."""

    run_id: int
    business_id: int
    name: str | None
    status: RunStatus
    total: Count
    queued: Count
    in_progress: Count
    completed: Annotated[int, Field(ge=0, description="Calls that were answered.")]
    failed: Count
    cancelled: Annotated[int, Field(ge=0, description="Jobs never dialed, because of a cancel or a stop.")]
    processed: Count
    progress_pct: Annotated[float, Field(ge=0, le=100)]
    concurrency: int | None
    active_calls: Count
    cancel_requested: bool
    can_cancel: bool
    last_error: str | None
    locked_by_worker: Annotated[UUID | None, Field(description="The daemon that dials it.")]
    last_heartbeat_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    dispositions: dict[Disposition, Count]


class RunPage(Shape):
    data: list[Run]
    next_cursor: Cursor


class Cancelled(Shape):
    run_id: int
    status: RunStatus
    cancel_requested: bool
    jobs_cancelled: Count


class ForceCancelled(Shape):
    run_id: int
    status: RunStatus
    jobs_cancelled: Count
    slots_released: Count
    calls_hung_up: Count


class Stopped(Shape):
    run_id: int
    status: RunStatus
    cancelled_jobs: Count


class CleanedUp(Shape):
    cleaned_count: Count
    runs: list[int]


class Counts(Shape):
    active: Annotated[int, Field(ge=0, description="Calls that may be live.")]
    limit: Count
    waiting: Annotated[int, Field(ge=0, description="Jobs that are not dialed yet.")]


class Job(Shape):
    """One number to reach. `completed`: the call was answered, by a person or a machine."""

    job_id: int
    run_id: int
    business_id: int
    lead_id: str | None
    phone: str
    name: str | None
    variables: dict[str, Any]
    status: JobStatus
    disposition: Annotated[Disposition | None, Field(description="How it ended.")]
    call_sid: str | None
    error_code: int | None
    error_message: str | None
    attempts_made: Count
    created_at: datetime
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None


class JobPage(Shape):
    data: list[Job]
    next_cursor: Cursor


class Event(Shape):
    """What the carrier said of the call. `at` is its time, `received_at` ours."""

    sequence: int | None
    status: str
    at: datetime | None
    received_at: datetime


class Attempt(Shape):
    """One call placed for a job, or that may have been."""

    attempt_id: UUID
    state: Literal["intent", "requested", "live", "unknown", "ended"]
    disposition: Disposition | None
    call_sid: str | None
    slot: int
    created_at: datetime
    requested_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    events: list[Event]


class JobInFull(Job):
    """Why somebody was called, or was not."""

    attempts: list[Attempt]


class Business(Shape):
    business_id: int
    name: str
    max_concurrent_calls: int
    from_number: str | None
    default_region: str | None
    timezone: str
    created_at: datetime


class BusinessPage(Shape):
    data: list[Business]
    next_cursor: Cursor


class MadeKey(Shape):
    """The token is shown here and never again."""

    key_id: int
    business_id: int
    name: str
    role: Literal["member", "read_only"]
    prefix: str
    token: str


class Key(Shape):
    key_id: int
    business_id: int
    name: str
    role: Literal["member", "read_only"]
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


class KeyPage(Shape):
    data: list[Key]
    next_cursor: Cursor


class Recording(Shape):
    call_sid: str
    recording_sid: str | None
    job_id: int | None
    status: RecordingStatus
    bytes: int | None
    duration_seconds: int | None
    sha256: str | None
    error_message: str | None
    created_at: datetime
    completed_at: datetime | None


class RecordingPage(Shape):
    data: list[Recording]
    next_cursor: Cursor


class OnItsWay(Shape):
    call_sid: str
    status: Literal["queued", "running"]


class Alive(Shape):
    status: Literal["ok"]


class Checks(Shape):
    """Each "ok", or what is wrong with it."""

    postgres: str
    redis: str
    schema_: Annotated[str, Field(alias="schema")]


class Ready(Shape):
    status: Literal["ok", "degraded", "down"]
    checks: Checks


class Daemon(Shape):
    id: UUID
    host: str
    pid: int
    started_at: datetime
    last_seen_at: datetime
    runs: Count
    live_calls: Count
    redis_degraded: bool
    draining: bool


class OneDaemon(Shape):
    """`draining`: it was asked to, or does; `gone`: it has ended, or was not seen for TAKEOVER_AFTER_SECONDS."""

    id: UUID
    host: str
    pid: int
    state: Literal["live", "draining", "gone"]
    started_at: datetime
    last_seen_at: datetime
    drain_requested_at: datetime | None


class Health(Shape):
    """Without a token only the status."""

    status: Literal["ok", "degraded", "down"]
    checks: Checks | None = None
    daemons: list[Daemon] = []
    oldest_waiting_job_seconds: float | None = None
    stale_runs: int | None = None
    unknown_attempts: int | None = None
