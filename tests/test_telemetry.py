"""Logs: the event first, nothing secret, whatever the format."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from dialer import telemetry


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_trace_shows_no_local_variable(log_format: str) -> None:
    out = io.StringIO()
    telemetry.set_up("INFO", log_format, out)
    auth_token = "".join(["very", "-", "secret"])
    try:
        _ = 1 / (len(auth_token) - len(auth_token))
    except ZeroDivisionError as error:
        telemetry.fault("test", error)
    assert "ZeroDivisionError: division by zero" in out.getvalue()
    assert auth_token not in out.getvalue()


def test_the_event_stands_first_and_levels_are_kept() -> None:
    out = io.StringIO()
    telemetry.set_up("INFO", "json", out)
    telemetry.logger().info("RUN_CLAIMED", run_id=1)
    telemetry.logger().debug("unheard")
    [line] = out.getvalue().splitlines()
    assert next(iter(json.loads(line).items())) == ("event", "RUN_CLAIMED")


def test_a_number_is_masked_but_for_its_ends() -> None:
    assert telemetry.masked("+972501234567") == "+972*******67"
    assert telemetry.masked("12") == "**"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_line_is_one_write(log_format: str) -> None:
    """Two processes write to one pipe, and Python may be told not to buffer."""
    written: list[str] = []

    class Unbuffered(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    telemetry.set_up("INFO", log_format, Unbuffered())
    telemetry.logger().info("RUN_CLAIMED", run_id=1)
    [line] = written
    assert line.endswith("\n")
    assert "RUN_CLAIMED" in line
