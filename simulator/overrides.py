"""What a callback URL's fragment says about time-outs and retries: `#rc=5&rp=all&ct=2000&rt=5000`."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urldefrag

CONNECT, READ = "ct", "rt"
_POLICIES = frozenset({"4xx", "5xx", CONNECT, READ})


@dataclass(frozen=True, slots=True)
class Overrides:
    """How hard the carrier tries with one URL. The defaults are the carrier's own; times in seconds."""

    retries: int = 1
    retried: frozenset[str] = frozenset({CONNECT})
    """The kinds of failure that are tried again, of `4xx 5xx ct rt`."""
    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    total_seconds: float = 15.0


def split_url(url: str) -> tuple[str, Overrides]:
    """The URL to post to, and its overrides. Unknown keys and unreadable values are passed over."""
    bare, fragment = urldefrag(url)
    return bare, read_overrides(fragment) if fragment else Overrides()


def read_overrides(fragment: str) -> Overrides:
    given = dict(parse_qsl(fragment))
    usual = Overrides()
    return Overrides(
        retries=int(_number(given, "rc", usual.retries, 0, 5)),
        retried=_policies(given["rp"]) if "rp" in given else usual.retried,
        connect_seconds=_number(given, CONNECT, 5_000, 100, 10_000) / 1000,
        read_seconds=_number(given, READ, 15_000, 100, 15_000) / 1000,
        total_seconds=_number(given, "tt", 15_000, 100, 15_000) / 1000,
    )


def _number(given: dict[str, str], key: str, usual: int, low: int, high: int) -> int:
    text = given.get(key, "")
    return min(max(int(text), low), high) if text.isdecimal() else usual


def _policies(text: str) -> frozenset[str]:
    named = frozenset(text.split(","))
    return _POLICIES if "all" in named else named & _POLICIES
