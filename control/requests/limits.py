"""How often one caller may ask: buckets of tokens, in this process alone (of n controls each allows as much)."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from control.requests.problems import AnswerWith, Problem

# Whoever was not heard of for longest is forgotten first; by then its bucket is full, which is the same.
MOST_BUCKETS = 10_000
BURST = 2


class Limits:
    """Requests a second of a token (by its hash), and wrong tokens a second of a remote address."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = Buckets(per_second, clock)
        self._guesses = Buckets(per_second, clock)

    def admit(self, token_hash: bytes, remote: str | None, *, limited: bool) -> None:
        """Before the token is looked up. Raises AnswerWith 429: it has asked too often, or `remote` has guessed.

        A token that was right a while ago is not refused for the guesses of others at its address (a proxy's).
        Only what is `limited` counts against a token's rate, and is refused for it.
        """
        if not self._tokens.knows(token_hash):
            _refuse_unless_now(self._guesses.wait(remote), "too many wrong tokens from this address")
        elif limited:
            _refuse_unless_now(self._tokens.take(token_hash), "too many requests with this token")

    def right(self, token_hash: bytes, *, limited: bool) -> None:
        """The token is good: it is counted from its first request on."""
        if limited and not self._tokens.knows(token_hash):
            self._tokens.take(token_hash)

    def wrong(self, token_hash: bytes, remote: str | None) -> None:
        """The token is unknown, or was revoked: tokens that were made up take no room here."""
        self._tokens.forget(token_hash)
        self._guesses.take(remote)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Buckets:
    """Buckets that fill with `per_second` tokens a second and hold `BURST` seconds' worth, one token at least."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._most = max(per_second * BURST, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def knows(self, name: Hashable) -> bool:
        return name in self._buckets

    def forget(self, name: Hashable) -> None:
        self._buckets.pop(name, None)

    def take(self, name: Hashable) -> float:
        """Take a token: 0.0. When there is none, nothing is taken: the seconds until there is one."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(self._most, self._clock())
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(name)
        self._fill(bucket)
        if bucket.tokens < 1.0:
            return self._until_one(bucket)
        bucket.tokens -= 1.0
        return 0.0

    def wait(self, name: Hashable) -> float:
        """The seconds until a token could be taken; takes none."""
        bucket = self._buckets.get(name)
        if bucket is None:
            return 0.0
        self._fill(bucket)
        return self._until_one(bucket)

    def _fill(self, bucket: _Bucket) -> None:
        now = self._clock()
        bucket.tokens = min(bucket.tokens + (now - bucket.filled_at) * self._per_second, self._most)
        bucket.filled_at = now

    def _until_one(self, bucket: _Bucket) -> float:
        return max(1.0 - bucket.tokens, 0.0) / self._per_second


def too_many(code: str, detail: str, seconds: float) -> AnswerWith:
    """429; `seconds`: when to ask again."""
    return AnswerWith(Problem(429, code, detail, headers={"Retry-After": str(max(math.ceil(seconds), 1))}))


def _refuse_unless_now(seconds: float, detail: str) -> None:
    if seconds > 0.0:
        raise too_many("rate_limited", detail, seconds)
