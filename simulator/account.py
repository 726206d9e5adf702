"""The REST API of the carrier: the account, its own numbers, and those of others that it may call from."""

import hashlib
from collections.abc import Iterable

from aiohttp import web

from simulator.answers import Answer, json_answer
from simulator.events import API_VERSION
from simulator.faults import Faults, On
from simulator.resources import Json, Page, account_path, page_resource
from simulator.rest import Door
from simulator.settings import Panel


class AccountApi:
    """The account, `/IncomingPhoneNumbers` and `/OutgoingCallerIds`."""

    def __init__(self, panel: Panel, faults: Faults) -> None:
        self._panel = panel
        self._door = Door(panel, faults)

    def routes(self) -> list[web.RouteDef]:
        account = account_path("{account}")
        return [
            web.get(f"{account}.json", self.fetch),
            web.get(f"{account}/IncomingPhoneNumbers.json", self.owned),
            web.get(f"{account}/OutgoingCallerIds.json", self.verified),
        ]

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        async def act() -> Answer:
            settings = self._panel.settings
            path = account_path(settings.account_sid)
            return json_answer(
                200,
                {
                    "sid": settings.account_sid,
                    "owner_account_sid": settings.account_sid,
                    "friendly_name": "Simulated",
                    "status": settings.account_status,
                    "type": settings.account_type,
                    "auth_token": settings.auth_token,
                    "date_created": None,
                    "date_updated": None,
                    "uri": f"{path}.json",
                    "subresource_uris": {"calls": f"{path}/Calls.json"},
                },
            )

        return await self._door.answer(request, On.ACCOUNT, act)

    async def owned(self, request: web.Request) -> web.StreamResponse:
        async def act() -> Answer:
            numbers = self._panel.settings.owned_numbers
            asked = request.query.get("PhoneNumber")
            if numbers is None:
                numbers = (asked,) if asked else ()
            return self._page(request, "incoming_phone_numbers", numbers)

        return await self._door.answer(request, On.ACCOUNT, act)

    async def verified(self, request: web.Request) -> web.StreamResponse:
        async def act() -> Answer:
            return self._page(request, "outgoing_caller_ids", self._panel.settings.verified_numbers)

        return await self._door.answer(request, On.ACCOUNT, act)

    def _page(self, request: web.Request, key: str, numbers: Iterable[str]) -> Answer:
        asked = request.query.get("PhoneNumber")
        found = [number for number in numbers if asked in (None, number)]
        page = Page.wanted(request.query)
        start = page.number * page.size
        items = [self._number(number) for number in found[start : start + page.size]]
        last_sid = str(items[-1]["sid"]) if start + page.size < len(found) else ""
        return json_answer(200, page_resource(key, request.path, request.query, page, start, items, last_sid))

    def _number(self, number: str) -> Json:
        sid = "PN" + hashlib.md5(number.encode(), usedforsecurity=False).hexdigest()
        account = self._panel.settings.account_sid
        return {
            "sid": sid,
            "account_sid": account,
            "friendly_name": number,
            "phone_number": number,
            "capabilities": {"voice": True, "sms": False, "mms": False, "fax": False},
            "api_version": API_VERSION,
            "date_created": None,
            "date_updated": None,
        }
