"""A run as the server tells of it, and following one until it has ended."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dialer.cli.client import Client, expect
from dialer.cli.patience import passing, pause_before_repeating
from dialer.cli.troubles import Refused, Unreachable

ENDED = ("completed", "stopped", "cancelled", "failed")
LOOK_EVERY_SECONDS = 0.3
# A restart of control while somebody follows a run is no reason to give up.
SILENCE_BORNE_SECONDS = 30.0


@dataclass(frozen=True)
class Run:
    run_id: int
    name: str | None
    status: str
    total: int
    processed: int
    in_progress: int
    active_calls: int
    concurrency: int
    dispositions: Mapping[str, int]
    last_error: str | None
    created_at: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Run":
        """From the server's JSON."""
        names = [name for name in cls.__dataclass_fields__ if name != "raw"]
        values: dict[str, Any] = expect(raw, *names)
        return cls(**{name: values[name] for name in names}, raw=raw)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def how_calls_ended(self) -> str:
        """Such as `4 answered, 1 busy`."""
        return ", ".join(f"{count} {name}" for name, count in self.dispositions.items() if count)


def fetch(client: Client, run_id: int) -> Run:
    return Run.of(client.get(f"/api/runs/{run_id}"))


def follow(
    client: Client,
    run_id: int,
    show: Callable[[Run], None],
    *,
    until: Callable[[Run], bool] = lambda run: run.ended,
    meanwhile: Callable[[], None] = lambda: None,
) -> Run:
    """Look at a run again and again, showing it each time, until it has ended.

    `meanwhile` is called at every look, also at those in vain. Raises Refused, and Unreachable when the
    server has been silent for half a minute.
    """
    last_heard = time.monotonic()
    while True:
        meanwhile()
        pause = LOOK_EVERY_SECONDS
        try:
            run = fetch(client, run_id)
        except (Unreachable, Refused) as trouble:
            if not passing(trouble) or time.monotonic() - last_heard > SILENCE_BORNE_SECONDS:
                raise
            pause = min(pause_before_repeating(trouble), 5.0)
        else:
            last_heard = time.monotonic()
            show(run)
            if until(run):
                return run
        time.sleep(pause)
