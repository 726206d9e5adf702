"""A carrier that costs next to nothing: it takes every call at once, and ends one when it is told to.

A part of `scale`, where tens of thousands of calls are live and the simulator would need the machine for itself. It
says of a call only that it has ended.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator
from yarl import URL


@dataclass(frozen=True)
class Call:
    """A live call. `caller`: the number that it is placed from, which tells whose it is."""

    sid: str
    caller: str
    callback: str


@dataclass
class StandIn:
    """Seconds between the end of a caller's call and its next create are kept in `idle`."""

    token: str
    http: aiohttp.ClientSession
    url: str = ""
    live: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    idle: list[float] = field(default_factory=list)
    _freed_at: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    async def create(self, request: web.Request) -> web.Response:
        """POST …/Calls.json"""
        arrived_at, form = time.perf_counter(), await request.post()
        caller = str(form["From"])
        if self._freed_at[caller]:
            self.idle.append(arrived_at - self._freed_at[caller].popleft())
        call = Call(f"CA{uuid.uuid4().hex}", caller, str(form["StatusCallback"]).partition("#")[0])
        self.live[caller].append(call)
        answer = {"sid": call.sid, "status": "queued", "queue_time": "0"}
        return web.Response(text=json.dumps(answer), status=201, content_type="application/json")

    async def end(self, call: Call) -> None:
        """The call ends; tells it as the carrier would, once."""
        self.live[call.caller].remove(call)
        form = {
            "CallSid": call.sid,
            "CallStatus": "completed",
            "SequenceNumber": "3",
            "CallDuration": "1",
        }
        signature = RequestValidator(self.token).compute_signature(call.callback, form)
        self._freed_at[call.caller].append(time.perf_counter())
        headers = {"X-Twilio-Signature": signature}
        async with self.http.post(URL(call.callback, encoded=True), data=form, headers=headers) as answer:
            assert answer.status == 204, answer.status


@asynccontextmanager
async def standing_in(token: str) -> AsyncIterator[StandIn]:
    """Serve, in this process."""
    async with aiohttp.ClientSession() as http:
        carrier = StandIn(token, http)
        app = web.Application()
        app.router.add_post("/2010-04-01/Accounts/{account}/Calls.json", carrier.create)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            carrier.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield carrier
        finally:
            await runner.cleanup()
