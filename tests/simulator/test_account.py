"""The account and the numbers that it may call from, as the official SDK sees them."""

import asyncio

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from simulator import Simulator

OWN, VERIFIED, OTHER = "+15005550006", "+972501234567", "+15005550007"


async def test_the_account_tells_how_it_is(sim: Simulator, sdk: Client) -> None:
    account = await asyncio.to_thread(sdk.api.accounts(sim.settings.account_sid).fetch)
    assert (account.sid, account.status, account.type) == (sim.settings.account_sid, "active", "Full")
    sim.change(account_status="suspended", account_type="Trial")
    account = await asyncio.to_thread(sdk.api.accounts(sim.settings.account_sid).fetch)
    assert (account.status, account.type) == ("suspended", "Trial")


async def test_numbers_are_found_one_by_one_and_all_together(sim: Simulator, sdk: Client) -> None:
    def owned(**asked: str) -> list[str]:
        return [one.phone_number for one in sdk.incoming_phone_numbers.list(**asked)]

    def verified(**asked: str) -> list[str]:
        return [one.phone_number for one in sdk.outgoing_caller_ids.list(**asked)]

    assert await asyncio.to_thread(owned, phone_number=OTHER) == [OTHER], "unless told otherwise, any"
    sim.change(owned_numbers=[OWN], verified_numbers=[VERIFIED])
    assert await asyncio.to_thread(owned) == [OWN]
    assert await asyncio.to_thread(verified) == [VERIFIED]
    assert await asyncio.to_thread(owned, phone_number=OWN) == [OWN]
    assert await asyncio.to_thread(owned, phone_number=VERIFIED) == []
    assert await asyncio.to_thread(verified, phone_number=VERIFIED) == [VERIFIED]
    assert await asyncio.to_thread(verified, phone_number=OTHER) == []


async def test_it_wants_the_credentials_and_can_be_away(sim: Simulator, sdk: Client) -> None:
    sim.misbehave("account", "error", status=503)
    account = sdk.api.accounts(sim.settings.account_sid)
    for status in (503, 401):
        with pytest.raises(TwilioRestException) as caught:
            await asyncio.to_thread(account.fetch)
        assert caught.value.status == status
        sim.change(auth_token="another")
