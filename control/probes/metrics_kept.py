"""What this control process counts, in a registry of its own; control/probes/metrics.py shows it."""

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from dialer.rules.tally import Tally

REQUEST_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# The carrier tells whole seconds, and repeats for fifteen.
# What is alerted on is there from the beginning: the first of a series that was not there yet is no increase.
CALLBACK_RESULTS = ("taken", "repeat", "orphan", "late_call", "not_owner", "not_stored")
STALE_ACTIONS = ("stale", "startup_cleanup")
AGE_BOUNDS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 3600.0)

# When each series began: half as many again, of which nobody makes use.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library says nothing of types there


class Metrics:
    """The figures of this process. `tally` is of the kind that daemons have; whoever counts more, registers it here."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tally = Tally()
        self.requests = Counter(
            "dialer_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "dialer_http_request_seconds",
            "From a request's first line to its answer; streams are not timed.",
            ["method", "route"],
            buckets=REQUEST_BOUNDS,
            registry=self.registry,
        )
        self.callbacks = Counter(
            "dialer_callbacks",
            "Signed callbacks of calls, by what became of them.",
            ["result"],
            registry=self.registry,
        )
        for result in CALLBACK_RESULTS:
            self.callbacks.labels(result)
        self._stale_stopped = Counter(
            "dialer_stale_runs_stopped",
            "Runs that were stopped because no daemon kept them, by the action in the audit log.",
            ["action"],
            registry=self.registry,
        )
        for action in STALE_ACTIONS:
            self._stale_stopped.labels(action)
        self.callback_age = Histogram(
            "dialer_callback_age_seconds",
            "From the carrier's own time of an event to its callback's arrival.",
            ["result"],
            buckets=AGE_BOUNDS,
            registry=self.registry,
        )
        Gauge("dialer_build_info", "1; the version is its label.", ["version"], registry=self.registry).labels(
            _version()
        ).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def called_back(self, result: str, at: datetime | None, arrived_at: float) -> None:
        """A callback was taken in (`result`: see take_carrier_event), or was `not_stored`.

        `at`: the carrier's time of the event, if it told one. `arrived_at`: Unix time.
        """
        self.callbacks.labels(result).inc()
        if at is not None:
            self.callback_age.labels(result).observe(max(arrived_at - at.timestamp(), 0.0))

    def stale_stopped(self, action: str) -> None:
        """A run that no daemon kept was stopped; `action` as in the audit log."""
        self._stale_stopped.labels(action).inc()


def _version() -> str:
    try:
        return version("dialer")
    except PackageNotFoundError:
        return "unknown"  # run from a directory that was never installed
