"""Asks the carrier about calls that are silent, and searches its list for attempts of which nobody knows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from dialer.crashpoints import passed
from dialer.edges.carrier import Carrier, CarrierAway
from dialer.edges.store import SilentAttempt, Store, UnknownAttempt
from dialer.rules import lookup
from dialer.rules.model import Fact
from dialer.telemetry import logger

AT_ONCE = 20
LONGEST_DISTANCE_SECONDS = 300.0

log = logger()


@dataclass(frozen=True, slots=True)
class Freed:
    """An attempt that a look-up has ended."""

    attempt_id: UUID
    business_id: int
    run_id: int
    job_id: int
    slot: int
    disposition: str


class Inquirer:
    """`freed` is awaited for every attempt that ended here: somebody waits for its slot."""

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        freed: Callable[[Freed], Awaitable[None]],
        *,
        silent_seconds: float,
        unknown_seconds: float,
        lag_seconds: float,
    ) -> None:
        self._store = store
        self._carrier = carrier
        self._freed = freed
        self._silent = silent_seconds
        self._unknown = unknown_seconds
        self._lag = lag_seconds

    async def ask_silent(self) -> None:
        """Look up calls without news. Raises DatabaseAway."""
        longest = max(LONGEST_DISTANCE_SECONDS, self._silent)
        attempts = await self._store.take_silent_attempts(self._silent, AT_ONCE, self._lag, longest)
        if attempts:
            passed("silent.taken")
        await self._each(self._ask(attempt) for attempt in attempts)

    async def _ask(self, attempt: SilentAttempt) -> None:
        found = None
        try:
            self._refuse_foreign(attempt.account_sid)
            if attempt.hangup_requested:
                await self._carrier.hang_up(attempt.call_sid)
            found = await self._carrier.fetch(attempt.call_sid)
        except CarrierAway as error:
            log.warning("LOOK_UP_FAILED", call_sid=attempt.call_sid, error=str(error))
        if found is not None:
            passed("silent.answered")
            log.info("CALL_LOOKED_UP", call_sid=attempt.call_sid, status=found.status)
            fact = await self._store.take_carrier_event(
                attempt.attempt_id, found.call_sid, "fetch", found.status, found.duration_seconds
            )
            await self._tell(attempt.attempt_id, found.call_sid, fact)
        elif attempt.overdue:
            await self._give_up(attempt)

    async def search_unknown(self) -> None:
        """Search the list for attempts whose create has no known outcome. Raises DatabaseAway."""
        longest = max(LONGEST_DISTANCE_SECONDS / 10, self._unknown)
        attempts = await self._store.take_unknown_attempts(self._unknown, AT_ONCE, self._lag, longest)
        if attempts:
            passed("unknown.taken")
        await self._each(self._search(attempt) for attempt in attempts)

    async def _each(self, looks: Iterable[Awaitable[None]]) -> None:
        """Side by side: one slow answer must not hold up the others. A fault is raised after all are done."""
        for result in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _search(self, attempt: UnknownAttempt) -> None:
        try:
            self._refuse_foreign(attempt.account_sid)
            calls = await self._carrier.search(attempt.to_number, attempt.from_number, attempt.created_at)
        except CarrierAway as error:
            log.warning("LOOK_UP_FAILED", attempt_id=str(attempt.attempt_id), error=str(error))
            if attempt.overdue:
                await self._give_up(attempt)
            return
        passed("unknown.answered")
        owned = await self._store.owned_sids([c.call_sid for c in calls])
        free = {c.call_sid: c for c in calls if c.call_sid not in owned}
        verdict = lookup.of_list(
            tuple(free),
            rivals=attempt.rivals,
            seen_before=attempt.candidate_seen,
            covered=attempt.covered,
            overdue=attempt.overdue,
        )
        log.info("ATTEMPT_SEARCHED", attempt_id=str(attempt.attempt_id), candidates=len(free), verdict=verdict.do)
        match verdict.do:
            case "bind":
                found = free[verdict.call_sid or ""]
                fact = await self._store.take_carrier_event(
                    attempt.attempt_id, found.call_sid, "list", found.status, found.duration_seconds
                )
                await self._tell(attempt.attempt_id, found.call_sid, fact)
            case "doubt":
                await self._store.note_candidate(attempt.attempt_id)
            case "end":
                await self._give_up(attempt)
            case "wait":
                pass

    async def _hang_up(self, call_sid: str) -> None:
        """Asked for before the SID was known. When it fails the next look tries again."""
        try:
            await self._carrier.hang_up(call_sid)
        except CarrierAway as error:
            log.warning("HANG_UP_FAILED", call_sid=call_sid, error=str(error))

    def _refuse_foreign(self, account_sid: str) -> None:
        """A call of another account cannot be seen with our credentials: not finding it would prove nothing."""
        if account_sid != self._carrier.account_sid:
            raise CarrierAway("the attempt was made with another account")

    async def _give_up(self, attempt: SilentAttempt | UnknownAttempt) -> None:
        if await self._store.end_unknown(attempt.attempt_id, attempt.last_news_at) is None:
            return  # there was news while we looked
        passed("ended.written")
        log.warning("ATTEMPT_UNKNOWN", attempt_id=str(attempt.attempt_id), job_id=attempt.job_id)
        await self._freed(
            Freed(attempt.attempt_id, attempt.business_id, attempt.run_id, attempt.job_id, attempt.slot, "unknown")
        )

    async def _tell(self, attempt_id: UUID, call_sid: str, fact: Fact) -> None:
        passed("lookup.written")
        if fact.result == "late_call":
            log.error("LATE_CALL", attempt_id=str(attempt_id), business_id=fact.business_id)
            await self._hang_up(call_sid)
        if not fact.ended_now:
            if fact.hangup_requested:
                await self._hang_up(call_sid)
            return
        assert fact.business_id is not None  # noqa: S101 - an attempt that ended has all of these
        assert fact.run_id is not None  # noqa: S101
        assert fact.job_id is not None  # noqa: S101
        assert fact.slot is not None  # noqa: S101
        assert fact.disposition is not None  # noqa: S101
        await self._freed(
            Freed(attempt_id, fact.business_id, fact.run_id, fact.job_id, fact.slot, fact.disposition)
        )
