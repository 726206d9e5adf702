"""Twilio's REST API: place a call, look one up, search the list, hang up. Outcomes are values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from twilio.rest import Client

from dialer.edges.carrier_http import (
    LOOK_UP_FAILED,
    NO_ANSWER,
    UNREADABLE,
    CarrierHttp,
    CarrierSaidNo,
    is_before_sending,
    retry_after_seconds,
)
from dialer.edges.clock import boot_seconds
from dialer.errors import TryAgainLater
from dialer.rules import outcome
from dialer.rules.model import Intent, Terms
from dialer.rules.outcome import AccountRefused, NotProcessed, Outcome, Placed, Refused, Unknown
from dialer.rules.recording import Listed
from dialer.rules.tally import Tally
from dialer.telemetry import logger, masked

# Five tries, on any failure, within the 15 seconds that a callback has; the fragment is neither sent nor
# signed. https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
RETRY_FRAGMENT = "#rc=5&rp=all&ct=2000&rt=5000"
LONGEST_INLINE_TWIML = 4000
CALL_IS_OVER = 21220
MOST_RECORDINGS = 20
# The carrier's dates have whole seconds, and its clock is not ours.
CLOCK_SKEW = timedelta(seconds=5)
# The words for outcomes in the tally.
CLASSES: Mapping[type[Outcome], str] = {
    Placed: "placed",
    NotProcessed: "not_processed",
    Refused: "refused",
    AccountRefused: "account_refused",
    Unknown: "unknown",
}

log = logger()


class CarrierAway(TryAgainLater):
    """A look-up failed: nothing is known; look again."""


@dataclass(frozen=True, slots=True)
class Found:
    """A call as the carrier shows it."""

    call_sid: str
    status: str
    duration_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """The account as the carrier shows it, or why it does not: the HTTP status of its refusal."""

    status: str = ""
    kind: str = ""
    refused: int | None = None


class Carrier:
    """One account. Build it inside the running loop; close it there."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        api_base_url: str,
        callback_base_url: str,
        timeout_seconds: float,
        tally: Tally | None = None,
    ) -> None:
        self.account_sid = account_sid
        self._tally = tally or Tally()
        self._http = CarrierHttp(timeout_seconds)
        self._client = Client(account_sid, auth_token, http_client=self._http)
        self._client.api.base_url = api_base_url
        self._callbacks = callback_base_url

    async def create(self, intent: Intent, terms: Terms) -> Outcome:
        """Ask for the call of a committed intent: sent once, whatever happens."""
        log.debug("create sent", attempt_id=str(intent.attempt_id), to=masked(intent.phone))
        self._tally.handovers.requested(terms.business_id, intent.slot, boot_seconds())
        result = await self._create(intent, terms)
        self._tally.creates[CLASSES[type(result)]] += 1
        log.debug("create answered", attempt_id=str(intent.attempt_id), outcome=type(result).__name__)
        return result

    async def _create(self, intent: Intent, terms: Terms) -> Outcome:
        try:
            call = await self._client.calls.create_async(
                to=intent.phone, from_=terms.from_number, **self._parameters(intent.attempt_id, terms)
            )
        except CarrierSaidNo as answer:
            return outcome.of_answer(answer.status, _code(answer.body), retry_after_seconds(answer.headers))
        except NO_ANSWER as error:
            if is_before_sending(error):
                return NotProcessed(f"not sent: {type(error).__name__}")
            return Unknown(f"no answer: {type(error).__name__}")
        except UNREADABLE as error:
            # A 2xx that cannot be read: the call was most likely made.
            return Unknown(f"unreadable answer: {type(error).__name__}")
        if not call.sid:
            return Unknown("unreadable answer: no SID")
        return Placed(str(call.sid), _whole(call.queue_time) or 0)

    def _parameters(self, attempt_id: UUID, terms: Terms) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "status_callback": self._callback("call_status", attempt_id),
            "status_callback_event": ["initiated", "ringing", "answered", "completed"],
            "status_callback_method": "POST",
            "timeout": terms.ring_timeout_seconds,
            "time_limit": terms.call_time_limit_seconds,
        }
        if terms.url is not None:
            parameters["url"] = terms.url
        elif len(terms.twiml or "") <= LONGEST_INLINE_TWIML:
            parameters["twiml"] = terms.twiml
        else:
            parameters["url"] = self._callback("outbound_call", attempt_id)
        if terms.record:
            parameters["record"] = True
            parameters["recording_status_callback"] = self._callback("recording_status", attempt_id)
            # `absent` comes only to those who ask for it.
            parameters["recording_status_callback_event"] = ["completed", "absent"]
            parameters["recording_status_callback_method"] = "POST"
        if terms.machine_detection:
            parameters["machine_detection"] = "Enable"
            parameters["async_amd"] = "true"
            parameters["async_amd_status_callback"] = self._callback("amd_status", attempt_id)
        return parameters

    def _callback(self, name: str, attempt_id: UUID) -> str:
        return f"{self._callbacks}/webhook/{name}?attempt={attempt_id}{RETRY_FRAGMENT}"

    async def fetch(self, call_sid: str) -> Found | None:
        """The call as it is now; None when the carrier does not show it (yet). Raises CarrierAway."""
        try:
            call = await self._client.calls(call_sid).fetch_async()
        except CarrierSaidNo as answer:
            if answer.status == 404:
                return None
            raise CarrierAway(f"fetch: HTTP {answer.status}") from answer
        except LOOK_UP_FAILED as error:
            raise CarrierAway(f"fetch: {type(error).__name__}") from error
        return Found(str(call.sid), str(call.status), _whole(call.duration))

    async def search(self, to: str, from_: str, since: datetime, most: int = 100) -> list[Found]:
        """Calls to this number from this caller ID that were created since. Raises CarrierAway.

        Not filtered by start time: a call that is still queued has none.
        """
        try:
            calls = await self._client.calls.list_async(to=to, from_=from_, limit=most, page_size=most)
        except CarrierSaidNo as answer:
            raise CarrierAway(f"list: HTTP {answer.status}") from answer
        except LOOK_UP_FAILED as error:
            raise CarrierAway(f"list: {type(error).__name__}") from error
        earliest = since - CLOCK_SKEW
        return [
            Found(str(c.sid), str(c.status), _whole(c.duration))
            for c in calls
            if c.date_created is None or c.date_created >= earliest
        ]

    async def hang_up(self, call_sid: str) -> bool:
        """End a call, answered or not. False when it was over already. Raises CarrierAway."""
        try:
            ended = await self._hang_up(call_sid)
        except CarrierAway:
            self._tally.hangups["failed"] += 1
            raise
        self._tally.hangups["ended" if ended else "over"] += 1
        return ended

    async def _hang_up(self, call_sid: str) -> bool:
        try:
            await self._client.calls(call_sid).update_async(status="completed")
        except CarrierSaidNo as answer:
            if answer.status == 404 or _code(answer.body) == CALL_IS_OVER:
                return False
            raise CarrierAway(f"hang up: HTTP {answer.status}") from answer
        except LOOK_UP_FAILED as error:
            raise CarrierAway(f"hang up: {type(error).__name__}") from error
        return True

    async def recordings_of(self, call_sid: str) -> list[Listed]:
        """The recordings of a call that the carrier lists. Raises CarrierAway."""
        try:
            found = await self._client.recordings.list_async(
                call_sid=call_sid, limit=MOST_RECORDINGS, page_size=MOST_RECORDINGS
            )
        except CarrierSaidNo as answer:
            raise CarrierAway(f"recordings: HTTP {answer.status}") from answer
        except LOOK_UP_FAILED as error:
            raise CarrierAway(f"recordings: {type(error).__name__}") from error
        return [
            Listed(str(r.sid), str(r.status), str(r.source), _whole(r.duration), _whole(r.channels))
            for r in found
            if r.call_sid == call_sid
        ]

    async def delete_recording(self, recording_sid: str) -> None:
        """Delete the carrier's copy. One that is gone already is well gone. Raises CarrierAway."""
        try:
            await self._client.recordings(recording_sid).delete_async()
        except CarrierSaidNo as answer:
            if answer.status != 404:
                raise CarrierAway(f"delete: HTTP {answer.status}") from answer
        except LOOK_UP_FAILED as error:
            raise CarrierAway(f"delete: {type(error).__name__}") from error

    async def account(self) -> Account:
        """How the account is: `active`, and `Full` or `Trial`. Raises CarrierAway."""
        try:
            found = await self._client.api.accounts(self.account_sid).fetch_async()
        except CarrierSaidNo as answer:
            if answer.status in (401, 403, 404):
                return Account(refused=answer.status)
            raise CarrierAway(f"account: HTTP {answer.status}") from answer
        except LOOK_UP_FAILED as error:
            raise CarrierAway(f"account: {type(error).__name__}") from error
        return Account(str(found.status), str(found.type))

    async def may_call_from(self, number: str) -> bool:
        """Whether this is a number of the account, or one of somebody else that it has verified. Raises CarrierAway."""
        for numbers in (self._client.incoming_phone_numbers, self._client.outgoing_caller_ids):
            try:
                found = await numbers.list_async(phone_number=number, limit=1, page_size=1)
            except CarrierSaidNo as answer:
                raise CarrierAway(f"numbers: HTTP {answer.status}") from answer
            except LOOK_UP_FAILED as error:
                raise CarrierAway(f"numbers: {type(error).__name__}") from error
            if found:
                return True
        return False

    async def close(self) -> None:
        """Close every connection to the carrier."""
        await self._http.close()


def _code(body: str) -> int | None:
    try:
        code = json.loads(body)["code"]
    except (ValueError, TypeError, KeyError):
        return None
    return code if isinstance(code, int) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else None
