"""What a simulated carrier is like: every number here can be set at start and changed while it runs."""

from dataclasses import field, fields
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

DEFAULT_ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
DEFAULT_AUTH_TOKEN = "simulated-auth-token"  # noqa: S105 - of the simulated account; protects nothing


@checked(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Settings:
    """One carrier account and its manners. Times are seconds; 0 is allowed for every one of them."""

    account_sid: str = DEFAULT_ACCOUNT_SID
    auth_token: str = DEFAULT_AUTH_TOKEN
    account_status: Literal["active", "suspended", "closed"] = "active"
    account_type: Literal["Full", "Trial"] = "Full"
    """Shown, no more: calls are taken whatever they are."""
    owned_numbers: tuple[str, ...] | None = None
    """The account's own; None: whichever is asked for. Calls may come from any."""
    verified_numbers: tuple[str, ...] = ()
    """Numbers of others that the account may call from."""
    media_auth: bool = True
    """Recordings' media want the account's credentials (the account setting "enforce HTTP auth")."""
    public_url: str = ""
    """What URLs in answers and callbacks start with; empty: the address the server listens on."""
    seed: int = 0
    """Of every random choice. Setting it again starts the same sequence again."""

    calls_per_second: float = Field(default=0.0, ge=0)
    """How fast the account's calls leave the queue; 0 is unlimited. Later ones wait, never refused."""
    queue_limit_seconds: float = Field(default=86_400.0, ge=0)
    """A call that would wait longer than this is dropped at this time, without any callback."""
    max_concurrent_calls: int = Field(default=0, ge=0)
    """Calls beyond it are accepted and end `busy` at once; 0 is unlimited."""

    queue_seconds: float = Field(default=0.05, ge=0)
    """From the departure out of the pacing queue to `initiated`."""
    setup_seconds: float = Field(default=0.15, ge=0)
    """From `initiated` to `ringing` (or to `failed`)."""
    ring_seconds: float = Field(default=0.75, ge=0)
    """From `ringing` to the answer (or to `busy`)."""
    no_answer_seconds: float = Field(default=2.5, ge=0)
    """How long an unanswered phone rings, should the request's own `Timeout` be longer."""
    talk_seconds: float = Field(default=1.5, ge=0)
    """From the answer to the end; the request's `TimeLimit` may be shorter."""
    amd_seconds: float = Field(default=0.3, ge=0)
    """From the answer to the verdict on whether a machine answered."""
    recording_seconds: float = Field(default=0.5, ge=0)
    """From the end of a call until its recording can be had."""
    recording_bytes: int = Field(default=0, ge=0)
    """How large the recordings are that begin from now on; 0: as their duration has it."""
    recordings_absent: bool = False
    """Recordings that are asked for from now on are not made: told by the callback of `absent`."""
    jitter: float = Field(default=0.3, ge=0, le=1)
    """Each of the times above is stretched or shortened by up to this fraction."""

    callback_delay_seconds: float = Field(default=0.0, ge=0)
    callback_jitter_seconds: float = Field(default=0.0, ge=0)
    """Each callback waits the delay and up to this much more, on its own: so they can overtake."""
    callback_limit_seconds: float = Field(default=15.0, gt=0)
    """All tries of one callback together; then the event is dropped for ever."""
    callback_retry_pause_seconds: float = Field(default=0.1, ge=0)
    """Between two tries of one callback."""

    list_lag_seconds: float = Field(default=0.0, ge=0)
    """How long after its creation a call is missing from the list."""
    fetch_lag_seconds: float = Field(default=0.0, ge=0)
    """How long after its creation fetching a call by its SID answers 404."""
    events_lag_seconds: float = Field(default=0.0, ge=0)
    """How long after its end a call's Events are empty (about 900 at the real carrier)."""
    slow_answer_seconds: float = Field(default=30.0, ge=0)
    """How long an answer takes under the fault `slow` that names no time of its own."""

    digits_decide: bool = True
    """Unscripted outcomes follow the number's last two digits; else everybody answers."""
    groups: dict[str, str] = field(default_factory=dict)
    """From number -> the name of the business it stands for in the ledger; default: the number itself."""

    def changed(self, changes: dict[str, Any]) -> "Settings":
        """A copy with some settings replaced.

        Raises pydantic.ValidationError for an unknown name or a bad value.
        """
        return Settings(**{**self.as_dict(), **changes})

    def as_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


INSTANT = Settings(
    queue_seconds=0,
    setup_seconds=0,
    ring_seconds=0,
    no_answer_seconds=0,
    talk_seconds=0,
    amd_seconds=0,
    recording_seconds=0,
    jitter=0,
)
"""All times of a call set to nothing: what tests start from."""


class Panel:
    """Holds the settings in force; a change replaces them as a whole."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
