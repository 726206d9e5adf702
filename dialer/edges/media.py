"""The sound of recordings, from the carrier over HTTP: streamed, checked, redirects followed by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from dialer.crashpoints import passed
from dialer.edges.carrier_http import (
    CONNECT_TIMEOUT_SECONDS,
    KEEP_ALIVE_SECONDS,
    authorization,
    retry_after_seconds,
)
from dialer.edges.proxies import Proxies
from dialer.rules import recording
from dialer.rules.recording import MOST_HOPS, Claimed, Trouble

BLOCK_BYTES = 512 * 1024
# A recording that trickles must not hold its place for ever.
LONGEST_SECONDS = 3600.0
CONFIRM_PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
# Of all downloads of a daemon together: its loop turns for dialing first.
BYTES_PER_SECOND = 16.0 * 1024 * 1024
REDIRECTS = (301, 302, 303, 307, 308)

Write = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """So many bytes came, and nothing says that there are more."""

    bytes: int


@dataclass(frozen=True, slots=True)
class _Opened:
    answer: aiohttp.ClientResponse
    trusted: bool  # it is the carrier itself that answers


class Media:
    """One account's recordings. A session of its own: dialing never waits for a connection that downloads hold."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        api_base_url: str,
        stall_seconds: float,
        connections: int,
        bytes_per_second: float = BYTES_PER_SECOND,
    ) -> None:
        self._base = api_base_url
        self._authorization = authorization((account_sid, auth_token))
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=LONGEST_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=stall_seconds
            ),
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self._proxies = Proxies()

    async def fetch(self, claimed: Claimed, write: Write) -> Received | Trouble:
        """Hand the sound on, block by block. What `write` raises comes through."""
        try:
            received = await self._receive(claimed, write)
        except aiohttp.ClientConnectorError as error:
            return Trouble("unreachable", f"no connection ({type(error).__name__})")
        except TimeoutError:
            return Trouble("stalled", "nothing came for too long")
        except (aiohttp.ClientError, ConnectionError):
            return Trouble("cut", "the connection was cut")
        return received if isinstance(received, Trouble) else await self._confirmed(claimed, received)

    async def _receive(self, claimed: Claimed, write: Write) -> Received | Trouble:
        opened = await self._open("GET", claimed)
        if isinstance(opened, Trouble):
            return opened
        async with opened.answer as answer:
            wait = retry_after_seconds(answer.headers)
            trouble = recording.of_status(answer.status, wait, trusted=opened.trusted)
            trouble = trouble or recording.of_type(answer.headers.get("Content-Type", ""), claimed.format)
            if trouble is None:
                received = await self._hand_on(answer.content, write)
                trouble = recording.of_length(received, answer.content_length)
            return trouble or Received(received)

    async def _confirmed(self, claimed: Claimed, received: Received) -> Received | Trouble:
        """Ask for the length once more: a gateway may have promised, and delivered, the same half.

        Who answers without a length contradicts nobody. Asked patiently: what was received would have to come again.
        """
        for pause in CONFIRM_PAUSES:
            await asyncio.sleep(pause)
            try:
                opened = await self._open("HEAD", claimed)
            except (aiohttp.ClientError, OSError):
                continue
            if isinstance(opened, Trouble):
                return received
            status, promised = opened.answer.status, opened.answer.content_length
            opened.answer.release()
            if status < 500 and status != 429:
                return recording.of_length(received.bytes, promised if status == 200 else None) or received
        return Trouble("unconfirmed", "the carrier did not say how long it is")

    async def _open(self, method: str, claimed: Claimed) -> "_Opened | Trouble":
        """The answer at the end of all redirects."""
        path = f"/2010-04-01/Accounts/{claimed.account_sid}/Recordings/{claimed.recording_sid}.{claimed.format}"
        url, trusted = self._base + path, True
        for _ in range(MOST_HOPS + 1):
            headers = {"Accept-Encoding": "identity", **(self._authorization if trusted else {})}
            # What was signed elsewhere must be sent as it is: no second quoting.
            answer = await self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                proxy=self._proxies.of(url),
                allow_redirects=False,
            )
            if answer.status not in REDIRECTS:
                return _Opened(answer, trusted)
            location = answer.headers.get("Location", "")
            answer.close()
            hop = recording.hop(url, location, self._base, trusted)
            if hop is None:
                return Trouble("refused", "it was redirected to where nobody may follow", lasting=True)
            url, trusted = hop.url, hop.trusted
        return Trouble("refused", "it was redirected too often", lasting=True)

    async def _hand_on(self, content: aiohttp.StreamReader, write: Write) -> int:
        """In blocks that are worth a thread's while. Returns how many bytes came."""
        received, block = 0, bytearray()
        async for piece in content.iter_any():
            received += len(piece)
            block += piece
            if len(block) >= BLOCK_BYTES:
                await self._pace(len(block))
                await write(bytes(block))
                passed("recording.streaming")
                block.clear()
        if block:
            await write(bytes(block))
        return received

    async def _pace(self, count: int) -> None:
        """So many bytes were read: wait until they may have been."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + count / self._rate
        await asyncio.sleep(self._free_at - now)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
