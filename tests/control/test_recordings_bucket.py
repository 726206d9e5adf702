"""Recordings that are kept in a bucket are played from there, through control: whole, in part, and not at all."""

from __future__ import annotations

import hashlib
import importlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

import sql
from tests.control.house import House
from tests.control.recorded import CONTENT, Recorded, claim, recorded_call
from tests.support.proxy import Proxy, proxy_before
from tests.support.waiting import eventually

LARGE = CONTENT * 300
HEADERS = {"Authorization": "Bearer operator-token"}


def bucket() -> Any:
    """A client of the storage, to be entered. (The library comes without types.)"""
    return importlib.import_module("aiobotocore.session").get_session().create_client("s3")


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """The URL of an S3 server on this machine."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def way(storage: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """The way to it. Where the library looks for an address, credentials and the like it finds these."""
    variables = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    async with proxy_before(storage) as proxy:
        for name, value in {**variables, "AWS_ENDPOINT_URL_S3": proxy.url}.items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
async def house(
    way: Proxy, open_house: Callable[..., Awaitable[House]], database: str, redis_url: str, name: str
) -> House:
    async with bucket() as client:
        await client.create_bucket(Bucket=name)
    return await (await open_house(database, redis_url, RECORDINGS_URL=f"s3://{name}/kept/here")).ready()


@pytest.fixture
def name() -> str:
    """Of a bucket of this test's own."""
    return f"recordings-{uuid.uuid4().hex}"


async def kept(house: House, name: str, content: bytes) -> Recorded:
    """A recording that a daemon has put into the bucket."""
    one = await recorded_call(house)
    row = await claim(house, one.call)
    async with bucket() as client:
        await client.put_object(Bucket=name, Key=f"kept/here/{row['file_name']}", Body=content)
    facts = (len(content), hashlib.sha256(content).hexdigest(), "audio/mpeg")
    await house.pool.execute(sql.query("complete_recording"), row["recording_id"], row["lease_epoch"], *facts)
    return one


async def test_it_is_played_from_the_bucket(house: House, name: str) -> None:
    one = await kept(house, name, LARGE)
    path = f"/api/recordings/file/{one.call}"
    async with house.client.get(path, headers=HEADERS) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(LARGE)))
        assert await response.read() == LARGE
    async with house.client.get(path, headers={**HEADERS, "Range": "bytes=1000000-1000099"}) as response:
        assert (response.status, await response.read()) == (206, LARGE[1_000_000:1_000_100])
    async with house.client.head(path, headers=HEADERS) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(LARGE)))


async def test_what_was_deleted_from_the_bucket_is_missing(house: House, name: str) -> None:
    one = await kept(house, name, CONTENT)
    async with bucket() as client:
        [found] = (await client.list_objects_v2(Bucket=name))["Contents"]
        await client.delete_object(Bucket=name, Key=found["Key"])
    answer = await house.ask("GET", f"/api/recordings/file/{one.call}")
    assert (answer.status, answer.data["code"]) == (404, "recording_missing")


async def test_a_bucket_that_is_away_is_asked_again(house: House, way: Proxy, name: str) -> None:
    one = await kept(house, name, CONTENT)
    await way.refuse()
    answer = await house.ask("GET", f"/api/recordings/file/{one.call}")
    assert (answer.status, answer.data["code"], answer.headers["Retry-After"]) == (503, "recordings_away", "2")
    assert "127.0.0.1" not in answer.text
    # Nothing else depends on it.
    assert (await house.ask("GET", "/api/recordings")).data["data"][0]["status"] == "completed"
    await way.pass_all()

    async def played() -> bool:
        return (await house.ask("HEAD", f"/api/recordings/file/{one.call}")).status == 200

    await eventually(played, timeout=15)
