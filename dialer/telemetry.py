"""Logs: one event name first, fields after; JSON, or readable lines on a terminal. No secret, no full number."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor


def set_up(level: str, log_format: str | None, stream: TextIO | None = None) -> None:
    """Configure structlog for this process. `log_format` None: console on a terminal, else json."""
    out = stream or sys.stdout
    console = log_format == "console" or (log_format is None and out.isatty())
    # Plain traces: the pretty ones print local variables, secrets among them.
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _event_first,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        # A line and its end are one write: processes that share their output (`dialer serve`) would else tear each
        # other's lines where Python does not buffer.
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    # Libraries speak up only when something is wrong; the carrier's SDK would print numbers at INFO.
    logging.basicConfig(level=logging.WARNING, stream=out, format="%(levelname)s %(name)s %(message)s", force=True)


def _event_first(_logger: object, _method: str, fields: EventDict) -> EventDict:
    return {"event": fields.pop("event"), "timestamp": fields.pop("timestamp"), **fields}


def logger() -> FilteringBoundLogger:
    """The logger of this process: `log.info("RUN_CLAIMED", run_id=1)`."""
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def fault(where: str, error: BaseException) -> None:
    """Log a fault of our own with its trace: whoever catches one goes on, but it must be seen."""
    logger().error("FAULT", where=where, error=type(error).__name__, exc_info=error)


def masked(phone: str) -> str:
    """A phone number as it may stand in a log: the country's first digits and the last two."""
    return f"{phone[:4]}{'*' * max(len(phone) - 6, 0)}{phone[-2:]}" if len(phone) > 6 else "*" * len(phone)
