"""The carrier's customer, for tests: a web server that takes callbacks, and requests to the REST API."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator

from simulator import Simulator

TO, FROM = "+15551230001", "+15557770000"
EVENTS = ("initiated", "ringing", "answered", "completed")
TWIML = "<Response><Say>Hello</Say></Response>"


@dataclass(frozen=True)
class Received:
    """One request that the customer's server got."""

    method: str
    url: str
    headers: dict[str, str]
    form: dict[str, str]
    at: float

    def signed_with(self, auth_token: str) -> bool:
        """As the official SDK sees it."""
        signature = self.headers["X-Twilio-Signature"]
        return bool(RequestValidator(auth_token).validate(self.url, self.form, signature))


@dataclass
class Customer:
    """Takes posts at any path; `answer` may be replaced to misbehave."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Awaitable[web.StreamResponse]] | None = None

    async def take(self, request: web.Request) -> web.StreamResponse:
        form = {key: str(value) for key, value in (await request.post()).items()}
        one = Received(request.method, self.url + request.path_qs, dict(request.headers), form, time.monotonic())
        self.received.append(one)
        return await self.answer(one) if self.answer else web.Response(status=204)

    def statuses(self) -> list[str]:
        return [one.form["CallStatus"] for one in self.received if "CallStatus" in one.form]

    async def got(self, count: int, timeout: float = 5.0) -> list[Received]:
        await until(lambda: len(self.received) >= count, timeout, lambda: f"only got {self.statuses()}")
        return self.received


@asynccontextmanager
async def open_customer() -> AsyncIterator[Customer]:
    customer = Customer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", customer.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        customer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield customer
    finally:
        await runner.cleanup()


async def until(
    condition: Callable[[], bool], timeout: float = 5.0, said: Callable[[], str] = lambda: "never came true"
) -> None:
    """Waits for a fact, at most `timeout` seconds; then fails."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, said()
        await asyncio.sleep(0.002)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


class Caller:
    """Bare requests to the REST API and the switches of one simulator."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        self.sim, self.session = sim, session
        self.account = f"{sim.url}/2010-04-01/Accounts/{sim.settings.account_sid}"
        self.log_in(sim.settings.account_sid, sim.settings.auth_token)

    def log_in(self, account: str, token: str) -> None:
        self.headers = {"Authorization": f"Basic {b64encode(f'{account}:{token}'.encode()).decode()}"}

    async def create(self, events: Iterable[str] = EVENTS, **parameters: str) -> Reply:
        form = {"To": TO, "From": FROM, "Twiml": TWIML, **parameters}
        pairs = [*form.items(), *(("StatusCallbackEvent", event) for event in events)]
        return await self.send("POST", f"{self.account}/Calls.json", data=pairs)

    async def get(self, path: str, **parameters: str) -> Reply:
        return await self.send("GET", self.account + path, params=parameters)

    async def post(self, path: str, **form: str) -> Reply:
        return await self.send("POST", self.account + path, data=form)

    async def switch(self, method: str, path: str, body: Any = None) -> Reply:
        return await self.send(method, f"{self.sim.url}/_sim{path}", json=body)

    async def send(self, method: str, url: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        async with self.session.request(
            method, url, headers={**self.headers, **(headers or {})}, allow_redirects=False, **more
        ) as answer:
            is_json = answer.content_type == "application/json"
            body = await (answer.json() if is_json and answer.status != 204 else answer.read())
            return Reply(answer.status, dict(answer.headers), body)
