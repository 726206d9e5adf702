"""The switches of the simulator: `/_sim/`, JSON in and out, no credentials wanted.

    GET    /_sim                       -> {"url", "live", "settings": {…}}
    GET    /_sim/settings              -> all settings (see settings.py for names and meaning)
    PATCH  /_sim/settings              {"ring_seconds": 0.01, "calls_per_second": 5}  -> all settings

    POST   /_sim/scripts               {"to": "+15551230001", "outcomes": ["busy", "answered"]}
           The next calls to that number, one outcome each; "to": "*" is any number without a script.
           An outcome may be an object: {"outcome": "answered", "ring_seconds": 0, "talk_seconds": 2,
           "answered_by": "machine_start", "sip_code": 200}. "repeat_last": true keeps the last for ever.
    DELETE /_sim/scripts               -> back to the numbers' last digits (table in outcomes.py)

    POST   /_sim/faults                {"on": "create", "do": "drop", "times": 2}
           {"on": "create", "do": "error", "status": 500, "accept": true, "to": "+15551230001"}
           {"on": "create", "do": "error", "status": 429, "retry_after": 2, "times": 3}
           {"on": "create", "do": "error", "status": 400, "code": 21210}
           {"on": "create", "do": "slow", "seconds": 30, "accept": "late"}
           {"on": "create", "do": "callback_first"}
           {"on": "call", "do": "outcome", "outcome": "stuck"}      also "vanish", "gone", …
           {"on": "fetch", "do": "error", "status": 404, "times": null}
           {"on": "list", "do": "error", "status": 500}
           {"on": "callback", "do": "lose", "event": "completed", "probability": 0.1, "times": null}
           {"on": "callback", "do": "late", "seconds": 3, "kind": "status"}
           Every field is described in faults.py. "times" is 1 unless given, null is until reset.
    GET    /_sim/faults                -> {"faults": [{"fault": {…}, "left": 2}, …]}
    DELETE /_sim/faults                -> none left

    POST   /_sim/hangup                {"sid": "CA…"} or {"to": "+1555…"} or {"all": true}: the callee hangs up
                                       (a ringing call is declined) -> {"hung_up": ["CA…"]}
    GET    /_sim/ledger                ?attempt= ?to= -> {"summary", "calls", "arrivals", "deliveries", "media"}
    GET    /_sim/ledger/summary        -> {"creates", "accepted", "refused", "calls", "live", "most_live",
           "most_live_by_group", "calls_per_attempt", "most_calls_of_an_attempt", "without_attempt",
           "calls_per_number", "callbacks": {"pending", "delivered", "dropped", "lost"}, "now"}
    GET    /_sim/wait                  ?creates=10 &calls=10 &ended=10 &live=3 &delivered=40 &idle=1 &timeout=10
           Answers as soon as all conditions hold (at least that many; idle: no call live, no callback on its
           way): 200 {"reached": true, …summary}, or 408 {"reached": false, …summary} at the time-out.
    POST   /_sim/reset                 {"what": ["faults", "scripts", "settings", "ledger"]}; none: all of them.
                                       Calls that are live live on, in the ledger too.

A bad body is answered 400 {"error": "…"} and changes nothing.
"""

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from simulator.faults import Fault
from simulator.outcomes import ANY_NUMBER, Plan

if TYPE_CHECKING:
    from simulator.app import Simulator

_FAULT = TypeAdapter(Fault)
_PLAN = TypeAdapter(Plan)
_RESETTABLE = ("faults", "scripts", "settings", "ledger")
_DEFAULT_WAIT_SECONDS = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Switches:
    """Sets the simulator's behaviour and tells what it has seen."""

    def __init__(self, simulator: "Simulator") -> None:
        self._sim = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sim", self.overview),
            web.get("/_sim/settings", self.settings),
            web.patch("/_sim/settings", _checked(self.change_settings)),
            web.post("/_sim/scripts", _checked(self.script)),
            web.delete("/_sim/scripts", self.forget_scripts),
            web.get("/_sim/faults", self.faults),
            web.post("/_sim/faults", _checked(self.arm)),
            web.delete("/_sim/faults", self.disarm),
            web.post("/_sim/hangup", _checked(self.hang_up)),
            web.get("/_sim/ledger", self.ledger),
            web.get("/_sim/ledger/summary", self.summary),
            web.get("/_sim/wait", _checked(self.wait)),
            web.post("/_sim/reset", _checked(self.reset)),
        ]

    async def overview(self, _: web.Request) -> web.Response:
        sim = self._sim
        return web.json_response({"url": sim.url, "live": sim.ledger.live_now, "settings": sim.settings.as_dict()})

    async def settings(self, _: web.Request) -> web.Response:
        return web.json_response(self._sim.settings.as_dict())

    async def change_settings(self, request: web.Request) -> web.Response:
        self._sim.change(**await _json(request))
        return await self.settings(request)

    async def script(self, request: web.Request) -> web.Response:
        body = await _json(request)
        plans = [
            _PLAN.validate_python({"outcome": one} if isinstance(one, str) else one) for one in body["outcomes"]
        ]
        repeat = bool(body.get("repeat_last", False))
        self._sim.scripts.lay_down(str(body.get("to", ANY_NUMBER)), plans, repeat_last=repeat)
        return web.json_response({"planned": len(plans)}, status=201)

    async def forget_scripts(self, _: web.Request) -> web.Response:
        self._sim.scripts.clear()
        return web.Response(status=204)

    async def faults(self, _: web.Request) -> web.Response:
        armed = [{"fault": asdict(fault), "left": left} for fault, left in self._sim.faults.armed()]
        return web.json_response({"faults": armed})

    async def arm(self, request: web.Request) -> web.Response:
        self._sim.faults.arm(_FAULT.validate_python(await _json(request)))
        return web.json_response({"armed": len(self._sim.faults.armed())}, status=201)

    async def disarm(self, _: web.Request) -> web.Response:
        self._sim.faults.clear()
        return web.Response(status=204)

    async def hang_up(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if not body.keys() & {"sid", "to", "all"}:
            raise ValueError("name a sid, a number in to, or all")
        exchange = self._sim.exchange
        chosen = [
            call
            for call in list(exchange.calls.values())
            if body.get("all") or call.sid == body.get("sid") or call.order.to == body.get("to")
        ]
        return web.json_response({"hung_up": [c.sid for c in chosen if exchange.callee_hangs_up(c)]})

    async def ledger(self, request: web.Request) -> web.Response:
        ledger, attempt, to = self._sim.ledger, request.query.get("attempt"), request.query.get("to")
        calls = [
            one for one in ledger.calls.values() if attempt in (None, one.attempt) and (to is None or to == one.to)
        ]
        arrivals = [
            one for one in ledger.arrivals if attempt in (None, one.attempt) and (to is None or to == one.to)
        ]
        sids = {one.sid for one in calls}
        return web.json_response(
            {
                "summary": self._summary(),
                "calls": [asdict(one) for one in calls],
                "arrivals": [asdict(one) for one in arrivals],
                "deliveries": [asdict(one) for one in ledger.deliveries if one.sid in sids],
                "media": [asdict(one) for one in ledger.media if one.call_sid in sids],
            }
        )

    async def summary(self, _: web.Request) -> web.Response:
        return web.json_response(self._summary())

    async def wait(self, request: web.Request) -> web.Response:
        wanted = {key: float(value) for key, value in request.query.items()}
        timeout = wanted.pop("timeout", _DEFAULT_WAIT_SECONDS)
        unknown = wanted.keys() - self._counts().keys()
        if unknown:
            raise ValueError(f"cannot wait for {', '.join(sorted(unknown))}")

        def reached() -> bool:
            counts = self._counts()
            return all(counts[key] >= value for key, value in wanted.items())

        in_time = await self._sim.wait_for(reached, timeout)
        return web.json_response({"reached": in_time, **self._summary()}, status=200 if in_time else 408)

    async def reset(self, request: web.Request) -> web.Response:
        body = await _json(request) if request.can_read_body else {}
        what = body.get("what", _RESETTABLE)
        unknown = set(what) - set(_RESETTABLE)
        if unknown:
            raise ValueError(f"cannot reset {', '.join(sorted(unknown))}")
        self._sim.reset(*what)
        return web.Response(status=204)

    def _counts(self) -> dict[str, float]:
        sim, ledger = self._sim, self._sim.ledger
        return {
            "creates": len(ledger.arrivals),
            "calls": len(ledger.calls),
            "ended": len(ledger.calls) - ledger.live_now,
            "live": ledger.live_now,
            "delivered": ledger.delivered,
            "idle": float(sim.idle),
        }

    def _summary(self) -> dict[str, Any]:
        ledger = self._sim.ledger
        verdicts = Counter(arrival.verdict for arrival in ledger.arrivals)
        fates = Counter(delivery.outcome for delivery in ledger.deliveries)
        return {
            "creates": len(ledger.arrivals),
            "accepted": verdicts["accepted"],
            "refused": verdicts["refused"],
            "calls": len(ledger.calls),
            "live": ledger.live_now,
            "most_live": ledger.most_live(),
            "most_live_by_group": ledger.most_live_by_group(self._sim.settings.groups),
            "calls_per_attempt": ledger.calls_per_attempt(),
            "most_calls_of_an_attempt": ledger.most_calls_of_an_attempt(),
            "without_attempt": ledger.without_attempt(),
            "calls_per_number": ledger.calls_per_number(),
            "callbacks": {fate: fates[fate] for fate in ("pending", "delivered", "dropped", "lost")},
            "now": time.monotonic(),
        }


def _checked(handler: Handler) -> Handler:
    """Answers a bad body with what is wrong with it."""

    async def checked(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ValidationError as fault:
            said = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors())
            return web.json_response({"error": said}, status=400)
        except (KeyError, TypeError, ValueError) as fault:
            return web.json_response({"error": f"{type(fault).__name__}: {fault}"}, status=400)

    return checked


async def _json(request: web.Request) -> dict[str, Any]:
    body = json.loads(await request.text())
    if not isinstance(body, dict):
        raise TypeError("a JSON object is wanted")
    return body
