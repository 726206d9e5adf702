"""Machine detection: the carrier's verdict on who answered, in a callback of its own."""

from aiohttp import web

from control.carrier.callbacks import take_in
from control.carrier.carrier_form import read_signed
from control.context import CONTEXT
from dialer.rules.model import CarrierEvent


async def amd_status(request: web.Request) -> web.Response:
    """Store who answered. It may come before, between or after the news of the call's course: see 0011."""
    told = await read_signed(request, "CallSid", "AnsweredBy")
    verdict = told.fields["AnsweredBy"]
    event = CarrierEvent(
        told.attempt_id,
        told.fields["CallSid"],
        "callback",
        None,
        # Kept among the call's events. No word for the course of a call, so it moves nothing there.
        f"amd:{verdict}",
        answered_by=verdict,
    )
    await take_in(request.app[CONTEXT], event)
    return web.Response(status=204)
