"""The client of control's HTTP interface. Plain blocking requests: a command does one thing at a time."""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from dialer.cli.failures import BadInput
from dialer.cli.troubles import NOT_OURS, Refused, Unreachable, json_of, refusal

DEFAULT_URL = "http://127.0.0.1:8080"
# A hundred thousand leads are parsed and stored before their answer comes.
UPLOAD_ANSWER_WITHIN_SECONDS = 300.0

_CHUNK = 1 << 16

Query = Mapping[str, str | int | None]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Query | None = None
    body: bytes | None = None
    content_type: str | None = None
    idempotency_key: str | None = None

    @property
    def harmless(self) -> bool:
        """Whether sending it once more does nothing twice."""
        return self.method == "GET" or self.idempotency_key is not None

    def target(self, url: str) -> str:
        given = {name: value for name, value in (self.query or {}).items() if value is not None}
        return urlsplit(url).path.rstrip("/") + self.path + (f"?{urlencode(given)}" if given else "")

    def headers(self, token: str | None) -> dict[str, str]:
        wanted = {
            "Accept": "application/json, */*;q=0.5",
            "Authorization": f"Bearer {token}" if token else None,
            "Content-Type": self.content_type,
            "Idempotency-Key": self.idempotency_key,
        }
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True)
class Client:
    """Talks to one control, each request once (see `patience`). Every method raises Unreachable and Refused."""

    url: str = DEFAULT_URL
    token: str | None = None
    answer_within: float = 30.0  # seconds

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON of the answer."""
        return self._ask(Request("GET", path, query))

    def post(
        self, path: str, body: Mapping[str, Any], query: Query | None = None, idempotency_key: str | None = None
    ) -> Any:
        """The JSON of the answer to a JSON body."""
        return self._ask(_with_json("POST", path, body, query, idempotency_key))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON of the answer to a JSON body."""
        return self._ask(_with_json("PATCH", path, body))

    def delete(self, path: str) -> None:
        self._ask(Request("DELETE", path))

    def post_csv(self, path: str, text: str, query: Query, idempotency_key: str) -> Any:
        """The JSON of the answer to a CSV body. The same key and content may be sent again safely."""
        csv = "text/csv; charset=utf-8"
        request = Request("POST", path, query, text.encode(), csv, idempotency_key)
        return self._ask(request, UPLOAD_ANSWER_WITHIN_SECONDS)

    def download(self, path: str, query: Query | None = None) -> Iterator[bytes]:
        """The content of an answer as it comes; what refuses it is raised before this returns."""
        request = Request("GET", path, query)
        connection, response = self._send(request, self.answer_within)
        if response.status < 400:
            return self._chunks(request, connection, response)
        raise self._refusal(request, connection, response)

    def _ask(self, request: Request, answer_within: float | None = None) -> Any:
        connection, response = self._send(request, answer_within or self.answer_within)
        if response.status >= 400:
            raise self._refusal(request, connection, response)
        with closing(connection), self._network(request):
            content = response.read()
        body = json_of(content)
        if content and body is None:
            raise Refused(response.status, NOT_OURS)
        return body

    def _refusal(
        self, request: Request, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> Refused:
        with closing(connection), self._network(request):
            return refusal(response, response.read())

    def _send(
        self, request: Request, answer_within: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The answer of which only the head was read. Who gets the connection closes it."""
        connection = _connection(self.url, answer_within)
        try:
            with self._network(request, sent=False):
                connection.connect()
            with self._network(request):
                # A server that refuses a long body may answer and close before it has read all of it.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(
                        request.method, request.target(self.url), request.body, request.headers(self.token)
                    )
                return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _chunks(
        self, request: Request, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> Iterator[bytes]:
        with closing(connection):
            while True:
                with self._network(request):
                    chunk = response.read1(_CHUNK)
                if not chunk:
                    break
                yield chunk
            if response.length:  # so many bytes were promised beside those that came
                raise Unreachable(f"the answer of {self.url} broke off", sent=True)

    @contextmanager
    def _network(self, request: Request, *, sent: bool = True) -> Iterator[None]:
        """Turns trouble with the connection into Unreachable."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            advice = "is it running, and does DIALER_URL name it?"
            if sent and not request.harmless:
                advice = "it may or may not have acted: look before you repeat the command"
            raise Unreachable(f"no answer from {self.url} ({reason}): {advice}", sent=sent) from error


def expect(answer: Any, *names: str) -> dict[str, Any]:
    """The answer, when it is an object with these members. Raises Refused: somebody else answered."""
    if not isinstance(answer, dict) or any(name not in answer for name in names):
        raise Refused(200, NOT_OURS)
    return answer


business_option = click.option(
    "--business",
    type=click.IntRange(min=1),
    envvar="DIALER_BUSINESS",
    show_envvar=True,
    metavar="ID",
    help="The business to act for, with the operator's token.",
)


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
        metavar="FILE",
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


def _with_json(
    method: str, path: str, body: Mapping[str, Any], query: Query | None = None, key: str | None = None
) -> Request:
    return Request(method, path, query, json.dumps(body).encode(), "application/json", key)


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout)
