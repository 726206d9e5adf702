"""The REST API of the carrier: calls."""

import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hmac import compare_digest

from aiohttp import web
from multidict import MultiMapping

from simulator import refusals
from simulator.answers import Answer, fault_answer, json_answer, no_content, pause, refusal_answer, send
from simulator.calls import Call, Order, Status
from simulator.changes import Changes
from simulator.exchange import Exchange
from simulator.faults import Do, Fault, Faults, Occasion, On
from simulator.ledger import Arrival, Ledger
from simulator.orders import NOT_VALID_TO, attempt_in, read_order
from simulator.outcomes import Outcome, Plan
from simulator.refusals import Refusal
from simulator.resources import (
    Page,
    account_path,
    call_resource,
    event_resource,
    moment_fits,
    page_resource,
)
from simulator.settings import Panel

_LONGEST_HOLD_SECONDS = 30.0


class Door:
    """What every REST request passes: the account's credentials, and the faults that are armed."""

    def __init__(self, panel: Panel, faults: Faults) -> None:
        self.panel, self._faults = panel, faults

    def refusal(self, request: web.Request) -> Refusal | None:
        """Why a request is not let in."""
        settings = self.panel.settings
        credentials = b64encode(f"{settings.account_sid}:{settings.auth_token}".encode()).decode()
        given = request.headers.get("Authorization", "").encode()
        if not compare_digest(given, f"Basic {credentials}".encode()):
            return refusals.NOT_AUTHENTICATED
        if request.match_info["account"] != settings.account_sid:
            return refusals.NOT_AUTHENTICATED
        return None

    async def answer(
        self,
        request: web.Request,
        on: On,
        act: Callable[[], Awaitable[Answer]],
        call: Call | None = None,
        *,
        public: bool = False,
        spared: bool = False,
    ) -> web.StreamResponse:
        """Does what was asked and answers; an armed fault may prevent the one and spoil the other.

        `public`: credentials are checked only if there are any. `spared`: no fault strikes here.
        """
        anonymous = public and "Authorization" not in request.headers
        refusal = None if anonymous else self.refusal(request)
        if refusal is not None:
            return await send(request, refusal_answer(refusal))
        fault = None if spared else self._faults.strike(_occasion(on, request, call))
        if fault is None:
            return await send(request, await act())
        if fault.accepts == "late":
            await self.wait(fault)
        answer = await act() if fault.accepts else NOTHING_DONE
        if fault.accepts != "late":
            await self.wait(fault)
        return await send(request, fault_answer(fault, request, answer), fault)

    async def wait(self, fault: Fault) -> None:
        if fault.do is Do.STALL:
            return  # it waits half way through
        usual = self.panel.settings.slow_answer_seconds if fault.do is Do.SLOW else 0.0
        await pause(usual if fault.seconds is None else fault.seconds)


NOTHING_DONE = refusal_answer(refusals.usual(503))


class CallsApi:
    """`/Calls.json` and below."""

    def __init__(self, panel: Panel, faults: Faults, exchange: Exchange, ledger: Ledger, changes: Changes) -> None:
        self._panel, self._faults, self._exchange = panel, faults, exchange
        self._ledger, self._changes = ledger, changes
        self._door = Door(panel, faults)

    def routes(self) -> list[web.RouteDef]:
        calls, one = account_path("{account}") + "/Calls", account_path("{account}") + "/Calls/{sid}"
        return [
            web.post(f"{calls}.json", self.create),
            web.get(f"{calls}.json", self.list),
            web.get(f"{one}.json", self.fetch),
            web.post(f"{one}.json", self.update),
            web.delete(f"{one}.json", self.delete),
            web.get(f"{one}/Events.json", self.events),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        begun = time.monotonic()
        form = await request.post()
        to, from_number = str(form.get("To", "")), str(form.get("From", ""))
        arrival = self._ledger.arrive(begun, to, from_number, attempt_in(form))
        self._changes.mark()
        refusal = self._door.refusal(request)
        occasion = Occasion(On.CREATE, to, from_number, arrival.attempt)
        fault = None if refusal else self._faults.strike(occasion)
        if fault is None:
            answer = refusal_answer(refusal) if refusal else self._placed(form, arrival)[0]
        else:
            answer = await self._create_with(fault, request, form, arrival)
        dropped = fault is not None and fault.do is Do.DROP
        arrival.status, arrival.code = (None, None) if dropped else (answer.status, answer.code)
        if arrival.verdict == "pending":
            arrival.verdict = "refused"
        self._changes.mark()
        return await send(request, answer, fault)

    async def _create_with(
        self, fault: Fault, request: web.Request, form: MultiMapping[object], arrival: Arrival
    ) -> Answer:
        arrival.fault = fault.do
        if not fault.accepts:
            arrival.verdict = "refused"
            await self._door.wait(fault)
            return fault_answer(fault, request, NOTHING_DONE)
        if fault.accepts == "late":
            await self._door.wait(fault)
        answer, call = self._placed(form, arrival)
        if fault.do is Do.CALLBACK_FIRST and call is not None:
            await self._until_told(call, fault.event)
        elif fault.accepts != "late":
            await self._door.wait(fault)
        return fault_answer(fault, request, answer)

    def _placed(self, form: MultiMapping[object], arrival: Arrival) -> tuple[Answer, Call | None]:
        order = read_order(form)
        plan = self._exchange.plan(order) if isinstance(order, Order) else Plan(Outcome.INVALID)
        if isinstance(order, Refusal) or plan.outcome is Outcome.INVALID:
            refusal = order if isinstance(order, Refusal) else NOT_VALID_TO
            arrival.verdict = "refused"
            return refusal_answer(refusal), None
        call = self._exchange.place(order, plan)
        arrival.verdict, arrival.sid = "accepted", call.sid
        return json_answer(201, call_resource(call)), call

    async def _until_told(self, call: Call, event: str | None) -> None:
        def told() -> bool:
            return any(
                one.sid == call.sid and one.outcome == "delivered" and event in (None, one.event)
                for one in self._ledger.deliveries
            )

        await self._changes.wait_for(told, _LONGEST_HOLD_SECONDS)

    async def list(self, request: web.Request) -> web.StreamResponse:
        async def act() -> Answer:
            try:
                return json_answer(200, self._page(request))
            except ValueError:
                return refusal_answer(refusals.usual(400, message="A filter is no date."))

        return await self._door.answer(request, On.LIST, act)

    def _page(self, request: web.Request) -> dict[str, object]:
        query, page = request.query, Page.wanted(request.query)
        newest_first = reversed(self._exchange.calls_to(query.get("To")))
        born_before = time.monotonic() - self._panel.settings.list_lag_seconds
        listed = [c for c in newest_first if c.visible and c.created <= born_before and _fits(c, query)]
        start = next((at + 1 for at, c in enumerate(listed) if c.sid == page.after), 0)
        if page.after is None:
            start = page.number * page.size
        shown = listed[start : start + page.size]
        last_sid = shown[-1].sid if start + page.size < len(listed) else ""
        items = [call_resource(call) for call in shown]
        return page_resource("calls", request.path, query, page, start, items, last_sid)

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        call = self._visible(request)

        async def act() -> Answer:
            return json_answer(200, call_resource(call)) if call else _NOT_FOUND

        return await self._door.answer(request, On.FETCH, act, call)

    async def update(self, request: web.Request) -> web.StreamResponse:
        call, form = self._visible(request), await request.post()

        async def act() -> Answer:
            if call is None:
                return _NOT_FOUND
            refusal = self._change(call, form)
            return refusal_answer(refusal) if refusal else json_answer(200, call_resource(call))

        return await self._door.answer(request, On.UPDATE, act, call)

    def _change(self, call: Call, form: MultiMapping[object]) -> Refusal | None:
        wanted = form.get("Status")
        if wanted == "canceled":
            return self._exchange.cancel(call)
        if wanted == "completed":
            return self._exchange.hang_up(call)
        if wanted is not None:
            return refusals.NOT_A_STATUS
        if ("Url" in form or "Twiml" in form) and call.status is not Status.IN_PROGRESS:
            return refusals.NOT_LIVE
        return None

    async def delete(self, request: web.Request) -> web.StreamResponse:
        call = self._visible(request)

        async def act() -> Answer:
            if call is None:
                return _NOT_FOUND
            if call.live:
                return refusal_answer(refusals.NOT_DELETABLE)
            self._exchange.forget(call)
            return no_content()

        return await self._door.answer(request, On.DELETE, act, call)

    async def events(self, request: web.Request) -> web.StreamResponse:
        call = self._visible(request)

        async def act() -> Answer:
            if call is None:
                return _NOT_FOUND
            lag = self._panel.settings.events_lag_seconds
            shown = call.ended is not None and time.monotonic() >= call.ended + lag
            items = [event_resource(call, self._exchange.base_url)] if shown else []
            page = Page.wanted(request.query)
            return json_answer(200, page_resource("events", request.path, request.query, page, 0, items, ""))

        return await self._door.answer(request, On.FETCH, act, call)

    def _visible(self, request: web.Request) -> Call | None:
        call = self._exchange.calls.get(request.match_info["sid"])
        lag = self._panel.settings.fetch_lag_seconds
        if call is None or not call.visible or time.monotonic() < call.created + lag:
            return None
        return call


_NOT_FOUND = refusal_answer(refusals.NOT_FOUND)


def _fits(call: Call, query: MultiMapping[str]) -> bool:
    order = call.order
    return (
        query.get("To", order.to) == order.to
        and query.get("From", order.from_number) == order.from_number
        and query.get("Status", call.rest_status) == call.rest_status
        and "ParentCallSid" not in query
        and moment_fits(call.started_at, query, "StartTime")
        and moment_fits(call.ended_at, query, "EndTime")
    )


def _occasion(on: On, request: web.Request, call: Call | None) -> Occasion:
    if call is None:
        return Occasion(on, request.query.get("To", ""), request.query.get("From", ""))
    return Occasion(on, call.order.to, call.order.from_number, call.order.attempt)
