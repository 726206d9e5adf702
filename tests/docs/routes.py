"""The paths that control serves, as documents name them."""

from __future__ import annotations

import re

from control.routes import CALLBACKS, PROBES, ROUTES

METHODS = "GET|HEAD|POST|PATCH|PUT|DELETE"
ROUTED = frozenset(
    {
        *((method, path) for method, path, _, _ in ROUTES),
        *(("GET", path) for path, _ in PROBES),
        *(("POST", path) for path, _ in CALLBACKS),
    }
)


def is_served(method: str, path: str) -> bool:
    """Whether there is this path, with any value for what is in braces. Without a method: with any.

    With a slash at its end it is the beginning of one.
    """
    return any(method in ("", known) and _leads_to(path, way) for known, way in ROUTED)


def _leads_to(path: str, way: str) -> bool:
    if path.endswith("/"):
        return way.startswith(path)
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(way)), path) is not None
