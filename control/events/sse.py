"""Server-sent events as bytes."""

import itertools
import json
import secrets
from typing import Any

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx keeps events back
}
# Milliseconds until a client that was cut off connects again.
GREETING = b"retry: 1000\n\n"
KEEP_ALIVE = b": still here\n\n"


class Frames:
    """Makes events. Their ids differ between processes too: a client may come back to another one."""

    def __init__(self) -> None:
        self._origin = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def of(self, event: str, text: str) -> bytes:
        """`text` is JSON, which has no line breaks."""
        return f"id: {self._origin}-{next(self._numbers)}\nevent: {event}\ndata: {text}\n\n".encode()


def as_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)
