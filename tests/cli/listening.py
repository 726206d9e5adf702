"""A small HTTP server that speaks control's language as a test wants it, lost answers included."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Reply = web.Response | None  # None: the connection breaks without an answer


@dataclass(frozen=True)
class Heard:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


@dataclass
class Server:
    """Answers a path with its replies in order, the last one for ever; hears everything."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    replies: dict[str, list[Callable[[], Reply]]] = field(default_factory=dict)

    def answer(self, path: str, *replies: Callable[[], Reply]) -> None:
        self.replies[path] = list(replies)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.heard.append(Heard(request.method, request.path, dict(request.query), dict(request.headers), body))
        replies = self.replies.get(request.path, [lambda: problem(404, "there is no such thing")])
        reply = (replies.pop(0) if len(replies) > 1 else replies[0])()
        if reply is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return reply


def ok(data: Any, status: int = 200) -> Callable[[], Reply]:
    return lambda: web.json_response(data, status=status)


def lost() -> Reply:
    """The request arrived, the answer does not."""
    return None


def problem(status: int, detail: str, **more: Any) -> web.Response:
    body = {"type": "about:blank", "title": "Trouble", "status": status, "detail": detail, **more}
    headers = {"Retry-After": "0"} if status in (429, 503) else {}
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")


def run(run_id: int = 7, **changes: Any) -> dict[str, Any]:
    """A run as the contract describes it."""
    return {
        "run_id": run_id,
        "business_id": 1,
        "name": "spring",
        "status": "running",
        "total": 7,
        "queued": 7,
        "in_progress": 0,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
        "processed": 0,
        "progress_pct": 0,
        "concurrency": 3,
        "active_calls": 0,
        "cancel_requested": False,
        "can_cancel": True,
        "last_error": None,
        "locked_by_worker": None,
        "last_heartbeat_at": None,
        "created_at": "2026-05-01T10:00:00Z",
        "started_at": None,
        "ended_at": None,
        "updated_at": "2026-05-01T10:00:00Z",
        "dispositions": {},
        **changes,
    }


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{anything:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
