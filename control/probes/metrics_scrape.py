"""The part of /metrics that is read at the moment of the question: from Postgres, Redis, and daemons' rows."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from control.context import Context
from control.database import Row
from control.probes import health
from dialer.errors import TryAgainLater

READ_WITHIN_SECONDS = 1.0
# An ended daemon is shown for this long: several scrapes, so that none of its last figures is missed.
SHOW_ENDED_SECONDS = 900.0
MOST_DAEMONS = 200

# Counters of a Tally: name, help, the label's name. The daemon is told by a label of its own.
COUNTERS = {
    "intents": ("dialer_intents", "Slots for which an intent was asked of Postgres, by its verdict.", "verdict"),
    "creates": ("dialer_create_answers", "Answers to create requests, by class of outcome.", "outcome"),
    "calls": ("dialer_calls", "Attempts that ended, by disposition.", "disposition"),
    "claims": ("dialer_runs_claimed", "Leases taken, by how.", "how"),
    "hangups": ("dialer_hangups", "Requests to the carrier to end a call, by result.", "result"),
    "drift": (
        "dialer_slot_drift",
        "Slots that Redis did not show as Postgres has them, by what was done.",
        "kind",
    ),
    "recordings": ("dialer_recording_tries", "Tries to fetch a recording, by what came of them.", "result"),
}
HISTOGRAMS = {
    "handoff_seconds": (
        "dialer_handoff_seconds",
        "From the arrival of the callback that ended a call to the create request for the next in its slot.",
    ),
    "beat_interval_seconds": ("dialer_beat_interval_seconds", "From one committed heartbeat to the next."),
}
# Names that are there from the beginning: the rate of a series that does not exist yet is no rate.
KNOWN: Mapping[str, Sequence[str]] = {
    "creates": ("placed", "not_processed", "refused", "account_refused", "unknown"),
    "claims": ("first", "again", "taken_over"),
    "hangups": ("ended", "over", "failed"),
    "drift": ("added", "removed", "rebuilt"),
    "recordings": ("completed", "again", "not_stored", "absent", "failed"),
    "intents": ("written", "lost", "at_concurrency", "over_limit", "slot_above_limit", "slot_taken", "no_job"),
    "calls": ("answered", "machine", "busy", "no_answer", "failed", "canceled", "invalid_number", "unknown"),
}
GAUGES = {
    "queued": ("dialer_queued_jobs", "Jobs waiting to be dialed, of pending and running runs."),
    "oldest": ("dialer_oldest_waiting_job_seconds", "Age of the oldest of them; 0 without any."),
    "idle": ("dialer_idle_runs", "Open runs with jobs that wait, of businesses without any live call."),
    "stale": ("dialer_stale_runs", "Running runs whose heartbeat is older than STALE_AFTER_SECONDS."),
    "unbeaten": (
        "dialer_runs_without_heartbeat",
        "Runs that somebody holds, without a heartbeat within TAKEOVER_AFTER_SECONDS.",
    ),
    "heartbeat": ("dialer_oldest_heartbeat_seconds", "Age of the oldest heartbeat of a run; 0 without any."),
    "overdue": ("dialer_overdue_calls", "Attempts that hold a slot for longer than a call can last."),
    "recordings": ("dialer_waiting_recordings", "Recordings that wait to be fetched, counted up to 10000."),
    "oldest_recording": (
        "dialer_oldest_waiting_recording_seconds",
        "Since the end of the call of the oldest of them; 0 without any.",
    ),
    "limits": ("dialer_call_limit", "The limits of all businesses together."),
    "schema_version": ("dialer_schema_version", "The newest migration of this database."),
}
STATES = ("intent", "requested", "live", "unknown")
OPEN = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found. Without Postgres there are no figures, and no daemons."""

    checks: Mapping[str, str]
    figures: Row | None
    daemons: Sequence[Row] | None
    own: Mapping[str, Mapping[str, int]]


async def text(context: Context) -> bytes:
    """This part, in the format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Exposed(await _look(context)))
    return generate_latest(registry)


async def _look(context: Context) -> Seen:
    checks = await health.look(context, health.keeps_its_keys)
    figures: Row | None = None
    daemons: list[Row] | None = None
    if checks["schema"] == health.OK:
        settings = context.settings
        try:
            async with asyncio.timeout(READ_WITHIN_SECONDS):
                figures = await context.database.row(
                    "gauges",
                    settings.stale_after_seconds,
                    settings.takeover_after_seconds,
                    settings.carrier_list_lag_seconds,
                )
                daemons = await context.database.rows(
                    "tallies", SHOW_ENDED_SECONDS, MOST_DAEMONS, settings.takeover_after_seconds
                )
        except (TryAgainLater, TimeoutError):
            checks = {**checks, "postgres": "slow"}
    return Seen(checks, figures, daemons, context.metrics.tally.counters())


class _Exposed(Collector):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        yield from _dependencies(self._seen.checks)
        yield from _figures(self._seen.figures)
        yield from _daemons(self._seen.daemons)
        tallies = [(row["daemon"], json.loads(row["tally"])) for row in self._seen.daemons or () if row["tally"]]
        yield from _counters([("", self._seen.own), *((d, t.get("counters", {})) for d, t in tallies)])
        yield from _histograms([(d, t.get("histograms", {})) for d, t in tallies])


def _dependencies(checks: Mapping[str, str]) -> Iterator[Metric]:
    redis = checks["redis"]
    for name, meaning, it_is in (
        ("dialer_postgres_up", "1: Postgres answers in time.", checks["postgres"] == health.OK),
        ("dialer_redis_up", "1: Redis answers in time.", not redis.startswith(health.AWAY)),
        (
            "dialer_redis_evicts",
            "1: the maxmemory-policy of Redis is not noeviction.",
            redis.startswith("maxmemory"),
        ),
        ("dialer_schema_current", "1: the schema is the one needed, or newer.", checks["schema"] == health.OK),
    ):
        yield GaugeMetricFamily(name, meaning, float(it_is))


def _figures(row: Row | None) -> Iterator[Metric]:
    live = GaugeMetricFamily("dialer_live_calls", "Attempts that may have a call, by state.", labels=["state"])
    runs = GaugeMetricFamily(
        "dialer_open_runs", "Runs that are being dialed, or wait for a daemon.", labels=["status"]
    )
    for family, names in ((live, STATES), (runs, OPEN)):
        for name in names:
            if row is not None:
                family.add_metric([name], row[name])
        yield family
    for column, (name, meaning) in GAUGES.items():
        yield GaugeMetricFamily(name, meaning, None if row is None else row[column])


def _daemons(rows: Sequence[Row] | None) -> Iterator[Metric]:
    alive = GaugeMetricFamily("dialer_daemons_live", "Daemons seen within TAKEOVER_AFTER_SECONDS.")
    info = GaugeMetricFamily(
        "dialer_daemon_info", "1; where a live daemon runs.", labels=["daemon", "host", "pid"]
    )
    seen = GaugeMetricFamily("dialer_daemon_seen_seconds", "Since a live daemon's last beat.", labels=["daemon"])
    degraded = GaugeMetricFamily(
        "dialer_redis_degraded", "1: a live daemon does without Redis.", labels=["daemon"]
    )
    live = [row for row in rows or () if row["alive"]]
    # Not to know is another trouble than to know that there is none.
    if rows is not None:
        alive.add_metric([], len(live))
    for row in live:
        info.add_metric([row["daemon"], row["host"], str(row["pid"])], 1)
        seen.add_metric([row["daemon"]], row["seen_seconds_ago"])
        degraded.add_metric([row["daemon"]], float(row["redis_degraded"]))
    yield from (alive, info, seen, degraded)


def _counters(tallies: Sequence[tuple[str, Mapping[str, Mapping[str, int]]]]) -> Iterator[Metric]:
    """Of this process (without a daemon's name) and of daemons. A newer one may count what we do not know."""
    for key, (name, meaning, label) in COUNTERS.items():
        family = CounterMetricFamily(name, meaning, labels=["daemon", label])
        for daemon, counters in tallies:
            counts = {**dict.fromkeys(KNOWN[key], 0), **counters.get(key, {})}
            if daemon or counters.get(key) or key in ("calls", "hangups"):
                for value, count in sorted(counts.items()):
                    family.add_metric([daemon, value], count)
        yield family


def _histograms(tallies: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Metric]:
    for key, (name, meaning) in HISTOGRAMS.items():
        family = HistogramMetricFamily(name, meaning, labels=["daemon"])
        for daemon, histograms in tallies:
            if (found := histograms.get(key)) is not None:
                bounds = [*(str(bound) for bound in found["bounds"]), "+Inf"]
                family.add_metric(
                    [daemon], list(zip(bounds, accumulate(found["counts"]), strict=True)), found["total"]
                )
        yield family
