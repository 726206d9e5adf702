"""Delivers callbacks: signed, each on its own, as hard as the URL's fragment asks, and then never again."""

import asyncio
import random
import time
import uuid
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from simulator.changes import Changes, Chores
from simulator.events import Post
from simulator.faults import Do, Fault, Faults, Occasion, On
from simulator.ledger import Delivery, Ledger
from simulator.overrides import CONNECT, READ, Overrides, split_url
from simulator.settings import Panel
from simulator.signing import signature

_LATE_SECONDS = 1.0


class Callbacks:
    """Everything the carrier posts to its customer."""

    def __init__(
        self,
        panel: Panel,
        faults: Faults,
        ledger: Ledger,
        changes: Changes,
        chores: Chores,
        randomness: random.Random,
    ) -> None:
        self._panel, self._faults, self._ledger = panel, faults, ledger
        self._changes, self._chores, self._randomness = changes, chores, randomness
        self._held: dict[str, Post] = {}
        self._session: aiohttp.ClientSession | None = None
        self.in_flight = 0

    def tell(self, post: Post) -> None:
        """Sends an event on its way, after its own delay; returns at once."""
        faults = {fault.do: fault for fault in self._faults.strike_all(_occasion(post))}
        if Do.LOSE in faults:
            self._ledger.settle(self._ledger.deliver(post), "lost")
            self._changes.mark()
        elif Do.REORDER in faults and self._hold(post):
            pass
        else:
            self._send(post, faults)

    async def ask(self, post: Post) -> bool:
        """Fetches instructions; false when nothing of use came back."""
        delivery = self._ledger.deliver(post)
        text = await self._try_hard(post, delivery)
        return delivery.outcome == "delivered" and "<Response" in text

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _hold(self, post: Post) -> bool:
        if post.kind != "status" or post.terminal or post.call.sid in self._held:
            return False
        self._held[post.call.sid] = post
        return True

    def _send(self, post: Post, faults: dict[Do, Fault]) -> None:
        copies = 1 + (faults[Do.DUPLICATE].copies if Do.DUPLICATE in faults else 0)
        after = self._held.pop(post.call.sid, None) if post.kind == "status" else None
        deliveries = [self._ledger.deliver(post) for _ in range(copies)]
        self.in_flight += 1
        self._chores.start(self._deliver(post, deliveries, self._delay(faults.get(Do.LATE)), after))

    def _delay(self, late: Fault | None) -> float:
        settings = self._panel.settings
        delay = settings.callback_delay_seconds
        if settings.callback_jitter_seconds:
            delay += self._randomness.uniform(0, settings.callback_jitter_seconds)
        if late is not None:
            delay += _LATE_SECONDS if late.seconds is None else late.seconds
        return delay

    async def _deliver(self, post: Post, deliveries: list[Delivery], delay: float, after: Post | None) -> None:
        try:
            if delay:
                await asyncio.sleep(delay)
            token = str(uuid.uuid4())
            for delivery in deliveries:
                await self._try_hard(post, delivery, token)
            if after is not None:
                await self._try_hard(after, self._ledger.deliver(after))
        finally:
            self.in_flight -= 1
            self._changes.mark()

    async def _try_hard(self, post: Post, delivery: Delivery, token: str = "") -> str:
        """Tries until answered, or until the URL's overrides or the time for one event are used up."""
        url, overrides = split_url(post.url)
        settings = self._panel.settings
        deadline = time.monotonic() + min(settings.callback_limit_seconds, overrides.total_seconds)
        letter = _Letter(post, url, settings.auth_token, token or str(uuid.uuid4()))
        while True:
            text, failure = await self._try(letter, delivery, overrides, deadline)
            if failure is None:
                self._ledger.settle(delivery, "delivered")
                break
            if delivery.tries > overrides.retries or failure not in overrides.retried:
                self._ledger.settle(delivery, "dropped")
                break
            await asyncio.sleep(settings.callback_retry_pause_seconds)
            if time.monotonic() >= deadline:
                self._ledger.settle(delivery, "dropped")
                break
        self._changes.mark()
        return text

    async def _try(
        self, letter: "_Letter", delivery: Delivery, overrides: Overrides, deadline: float
    ) -> tuple[str, str | None]:
        """The answer's text, and the kind of failure (None: success)."""
        delivery.tries += 1
        delivery.sent = time.monotonic()
        limits = aiohttp.ClientTimeout(
            total=max(deadline - delivery.sent, 0.001),
            sock_connect=overrides.connect_seconds,
            sock_read=overrides.read_seconds,
        )
        try:
            async with self._open_session().request(
                letter.method,
                letter.url,
                data=letter.body,
                headers=letter.headers,
                timeout=limits,
                allow_redirects=False,
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as failure:
            delivery.error = type(failure).__name__
            return "", CONNECT
        except (aiohttp.ClientError, TimeoutError) as failure:
            delivery.error = type(failure).__name__
            return "", READ
        delivery.answered, delivery.http_status = time.monotonic(), answer.status
        return text, None if answer.ok and answer.status < 300 else f"{answer.status // 100}xx"

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "TwilioProxy/1.1", "Accept": "*/*"},
            )
        return self._session


class _Letter:
    """A post as it goes over the wire: the same for all its tries."""

    def __init__(self, post: Post, url: str, auth_token: str, token: str) -> None:
        form = urlencode(post.fields)
        signed_fields = post.fields
        self.method = post.method
        self.body: bytes | None = form.encode()
        self.headers = {"I-Twilio-Idempotency-Token": token}
        if post.method == "GET":
            url, signed_fields = f"{url}{'&' if '?' in url else '?'}{form}", {}
            self.body = None
        else:
            self.headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        self.headers["X-Twilio-Signature"] = signature(auth_token, url, signed_fields)
        # What was signed is what must be sent: no second quoting of the path or the query.
        self.url = URL(url, encoded=True)


def _occasion(post: Post) -> Occasion:
    order = post.call.order
    return Occasion(On.CALLBACK, order.to, order.from_number, order.attempt, post.event, post.kind)
