"""A simulator without waiting times, a customer for its callbacks, and the official SDK as a client."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from simulator import INSTANT, Outcome, Simulator
from tests.simulator.customer import Caller, Customer, open_customer


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Every call is answered and over at once, unless a test says otherwise."""
    simulator = Simulator(INSTANT)
    simulator.everybody(Outcome.ANSWERED)
    async with simulator.serve():
        yield simulator


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    async with open_customer() as one:
        yield one


@pytest.fixture
async def caller(sim: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(sim, session)


@pytest.fixture
def sdk(sim: Simulator) -> Iterator[Client]:
    """The official client; it blocks, so use it through asyncio.to_thread."""
    http = TwilioHttpClient(timeout=10)
    client = Client(sim.settings.account_sid, sim.settings.auth_token, http_client=http)
    client.api.base_url = sim.url
    yield client
    if http.session is not None:
        http.session.close()
