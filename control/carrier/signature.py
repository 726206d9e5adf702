"""The carrier's signature: proof that a callback was sent by somebody who has the account's auth token."""

import hmac
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

Form = Iterable[tuple[str, str]]

_DEFAULT_PORTS = {"https": 443, "http": 80}


class Verifier:
    """Checks signatures of requests that reached us under `base_url`."""

    def __init__(self, auth_token: str, base_url: str) -> None:
        self._token = auth_token.encode()
        self._bases = _with_and_without_port(urlsplit(base_url))

    def accepts(self, raw_path: str, form: Form, signature: str | None) -> bool:
        """Whether `signature` is that of this path (with its query, as it came) and these form fields.

        The carrier is not consistent about the port in the URL that it signs: either way is right.
        """
        if not signature:
            return False
        given = signature.encode("utf-8", "surrogateescape")
        fields = _canonical(form)
        # Both are computed, whatever comes of the first: the time taken tells nothing.
        verdicts = [hmac.compare_digest(self._sign(base + raw_path + fields), given) for base in self._bases]
        return any(verdicts)

    def _sign(self, text: str) -> bytes:
        return b64encode(hmac.digest(self._token, text.encode("utf-8", "surrogatepass"), "sha1"))


def _canonical(form: Form) -> str:
    """Every key with each of its values, once, sorted; empty values take part."""
    values: dict[str, set[str]] = defaultdict(set)
    for key, value in form:
        values[key].add(value)
    return "".join(key + value for key in sorted(values) for value in sorted(values[key]))


def _with_and_without_port(base: SplitResult) -> tuple[str, ...]:
    host = base.netloc if base.port is None else base.netloc.removesuffix(f":{base.port}")
    port = base.port or _DEFAULT_PORTS[base.scheme]
    path = base.path.rstrip("/")
    return (f"{base.scheme}://{host}{path}", f"{base.scheme}://{host}:{port}{path}")
