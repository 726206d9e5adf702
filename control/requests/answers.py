"""How things are shown: JSON, RFC 3339 times, pages."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from control.database import Row
from control.requests.incoming import Page


def answer(data: dict[str, Any], status: int = 200, **headers: str) -> web.Response:
    text = json.dumps(data, ensure_ascii=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def moment(at: datetime | None) -> str | None:
    """RFC 3339, UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


def page_of(rows: Sequence[Row], page: Page, key: str, show: Callable[[Row], dict[str, Any]]) -> web.Response:
    """A page from one row more than it holds; `key` is the column they are sorted by."""
    shown = rows[: page.limit]
    cursor = str(shown[-1][key]) if len(rows) > page.limit else None
    return answer({"data": [show(row) for row in shown], "next_cursor": cursor})
