"""The HTTP client under the carrier's SDK: real time-outs, no redirects, no retries, headers kept.

The SDK's own asynchronous client ignores its time-out, can post a create again on a 5xx, and loses headers.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from dialer.crashpoints import passed
from dialer.edges.proxies import Proxies

CONNECT_TIMEOUT_SECONDS = 3.0
# Shorter than any server's or proxy's: a connection that dies under a request manufactures an unknown.
KEEP_ALIVE_SECONDS = 15.0


class CarrierSaidNo(Exception):
    """An answer that is not 2xx, before the SDK drops its headers."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.headers = headers


class CarrierHttp(AsyncHttpClient):  # type: ignore[misc]  # the SDK ships no types
    """One session for all requests. Build it inside the running loop; close it there."""

    def __init__(self, total_timeout_seconds: float, connections: int = 200) -> None:
        super().__init__(None, True, total_timeout_seconds)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=total_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS),
        )
        # Operators set HTTPS_PROXY; the SDK's client would ignore it.
        self._proxies = Proxies()

    async def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Send once. Raises CarrierSaidNo, or what aiohttp raises."""
        del timeout, allow_redirects  # the session has its own, and a 307 would repeat a create
        async with self._session.request(
            method.upper(),
            url,
            params=[(k, str(v)) for k, v in (params or {}).items()],
            # doseq: StatusCallbackEvent is one key several times.
            data=urlencode(data, doseq=True) if data else None,
            headers={**(headers or {}), **authorization(auth)},
            proxy=self._proxies.of(url),
            allow_redirects=False,
        ) as answer:
            passed("create.unread")
            body = await answer.text(errors="replace")
            if not 200 <= answer.status < 300:
                raise CarrierSaidNo(answer.status, body, answer.headers)
            return Response(answer.status, body, dict(answer.headers))

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def authorization(auth: tuple[str, str] | None) -> dict[str, str]:
    """The header for this user and password."""
    if auth is None:
        return {}
    return {"Authorization": "Basic " + b64encode(":".join(auth).encode()).decode()}


def is_before_sending(error: Exception) -> bool:
    """Did the request certainly not leave? (DNS, connect, TLS, and waiting for a connection.)"""
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)


NO_ANSWER: tuple[type[Exception], ...] = (aiohttp.ClientError, TimeoutError, OSError)
# What the SDK's parsing raises on a 2xx that is cut off or not what it expects.
UNREADABLE: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, AttributeError)
LOOK_UP_FAILED: tuple[type[Exception], ...] = NO_ANSWER + UNREADABLE


def retry_after_seconds(headers: Mapping[str, Any]) -> float | None:
    """The carrier's wish, when it is a plain number of seconds."""
    text = str(headers.get("Retry-After", ""))
    return min(float(text), 3600.0) if text.isdigit() else None
