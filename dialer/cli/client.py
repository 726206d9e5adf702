"""The client of control's HTTP interface. Plain blocking requests: a command does one thing at a time."""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from dialer.cli.failures import BadInput

DEFAULT_URL = "http://127.0.0.1:8080"
# A hundred thousand leads are parsed and stored before their answer comes.
UPLOAD_ANSWER_WITHIN_SECONDS = 300.0
PAGE = 500

_NOT_OURS = "what answers is not the dialer's control: does DIALER_URL name it?"

Query = Mapping[str, str | int | None]


class Unreachable(Exception):
    """The server did not answer; whether it acted is unknown when `sent`, else it did not."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(Exception):
    """The server answered with an error; the message is for the user, faults of the input line by line."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after  # seconds


@dataclass(frozen=True)
class Client:
    """Talks to one control. Every method raises Unreachable and Refused."""

    url: str = DEFAULT_URL
    token: str | None = None
    answer_within: float = 30.0  # seconds

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON of the answer."""
        return self._request("GET", path, query, None, {}, self.answer_within)

    def post(self, path: str, body: Mapping[str, Any], query: Query | None = None) -> Any:
        """The JSON of the answer to a JSON body."""
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self._request("POST", path, query, content, headers, self.answer_within)

    def post_csv(self, path: str, text: str, query: Query, idempotency_key: str) -> Any:
        """The JSON of the answer to a CSV body. The same key and content may be sent again safely."""
        headers = {"Content-Type": "text/csv; charset=utf-8", "Idempotency-Key": idempotency_key}
        return self._request("POST", path, query, text.encode(), headers, UPLOAD_ANSWER_WITHIN_SECONDS)

    def pages(self, path: str, query: Query) -> Iterator[Any]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = expect(self.get(path, {"limit": PAGE, **query, "cursor": cursor}), "data", "next_cursor")
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _request(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: bytes | None,
        headers: Mapping[str, str],
        answer_within: float,
    ) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = urlsplit(self.url).path.rstrip("/") + path + (f"?{urlencode(given)}" if given else "")
        if self.token:
            headers = {**headers, "Authorization": f"Bearer {self.token}"}
        connection = _connection(self.url, answer_within)
        sent = False
        try:
            connection.connect()
            sent = True
            connection.request(method, target, body, {"Accept": "application/json", **headers})
            response = connection.getresponse()
            return self._answer(response, response.read())
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"no answer from {self.url} ({reason}): is it running, and does DIALER_URL name it?", sent=sent
            ) from error
        finally:
            connection.close()

    def _answer(self, response: http.client.HTTPResponse, content: bytes) -> Any:
        try:
            body = json.loads(content) if content else None
        except ValueError:
            body = None
            if response.status < 400:
                raise Refused(response.status, _NOT_OURS) from None
        if response.status < 400:
            return body
        raise Refused(response.status, _explain(response.status, body), _retry_after(response))


def expect(answer: Any, *names: str) -> dict[str, Any]:
    """The answer, when it is an object with these members. Raises Refused: somebody else answered."""
    if not isinstance(answer, dict) or any(name not in answer for name in names):
        raise Refused(200, _NOT_OURS)
    return answer


def client_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command its `client`, from DIALER_URL and DIALER_TOKEN or the options of that meaning."""

    @click.option(
        "--server",
        envvar="DIALER_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Where control is.",
    )
    @click.option(
        "--token",
        envvar="DIALER_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Better in the variable: arguments can be seen by others on this machine.",
    )
    @click.option(
        "--token-file",
        envvar="DIALER_TOKEN_FILE",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file that holds the token.",
    )
    @wraps(command)
    def with_client(*args: Any, server: str, token: str | None, token_file: Path | None, **options: Any) -> Any:
        return command(*args, client=Client(_checked_url(server), token or _first_word(token_file)), **options)

    return with_client


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        usable = False
    if not usable:
        raise BadInput(f"DIALER_URL (or --server) must be like {DEFAULT_URL}")
    return url.rstrip("/")


def _first_word(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"DIALER_TOKEN_FILE (or --token-file) cannot be read ({type(error).__name__})") from error


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout)


def _explain(status: int, body: Any) -> str:
    """A problem (RFC 9457) in words: its detail, then each fault by its pointer."""
    problem = body if isinstance(body, dict) else {}
    said = problem.get("detail") or problem.get("title") or http.client.responses.get(status, "error")
    lines = [f"{said} ({status}{' ' + str(problem['code']) if problem.get('code') else ''})"]
    if status == 401:
        lines[0] += ": set DIALER_TOKEN to a key of the business or to the operator's token"
    faults = problem.get("errors")
    lines += [
        f"  {fault.get('pointer', '?')}: {fault.get('detail', '?')}"
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict)
    ]
    return "\n".join(lines)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    try:
        return float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
