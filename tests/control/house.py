"""Control as a test sees it: over HTTP, with the carrier's signature and the daemon's own statements at hand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient
from twilio.request_validator import RequestValidator
from yarl import URL

from control.context import CONTEXT
from dialer import config
from dialer.config import Settings
from tests.support.runs import Worker
from tests.support.waiting import eventually

OPERATOR = "operator-token"
AUTH_TOKEN = "auth-token"
BASE_URL = "https://dialer.test"
TWIML = "<Response><Say>hello</Say></Response>"
ACCOUNT = "AC" + "0" * 32

Client = TestClient[Any, Any]


def settings_for(database: str, redis_url: str, **others: str) -> Settings:
    environment = {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_FROM_NUMBER": "+15005550006",
        "DIALER_ADMIN_TOKEN": OPERATOR,
        "PUBLIC_BASE_URL": BASE_URL,
        "RATE_LIMIT_PER_SECOND": "100000",
    }
    return config.load({**environment, **others})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str
    data: Any


@dataclass
class House:
    """A running control and its database."""

    client: Client
    pool: Any

    async def ready(self) -> House:
        await eventually(lambda: self.client.app[CONTEXT].schema.current, description="the schema was found")
        return self

    async def ask(self, method: str, path: str | URL, token: str | None = OPERATOR, **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.client.request(method, path, headers=headers, **options) as response:
            text = await response.text()
            data = await response.json(content_type=None) if "json" in response.content_type else None
            return Answer(response.status, response.headers, text, data)

    async def business(self, **fields: Any) -> int:
        made = await self.ask("POST", "/api/businesses", json={"name": "Acme", "default_region": "IL", **fields})
        assert made.status == 201, made.text
        business_id: int = made.data["business_id"]
        return business_id

    async def key(self, business_id: int, role: str = "member") -> str:
        made = await self.ask("POST", f"/api/businesses/{business_id}/keys", json={"name": "test", "role": role})
        assert made.status == 201, made.text
        token: str = made.data["token"]
        return token

    async def start(self, business: int, phones: list[str], **fields: Any) -> Answer:
        leads = [{"phone": phone} for phone in phones]
        body = {"business_id": business, "leads": leads, "twiml": TWIML, **fields}
        return await self.ask("POST", "/api/runs", json=body)

    async def run(self, run_id: int) -> dict[str, Any]:
        answer = await self.ask("GET", f"/api/runs/{run_id}")
        assert answer.status == 200, answer.text
        data: dict[str, Any] = answer.data
        return data

    async def attempts(self, count: int = 1, **fields: Any) -> list[uuid.UUID]:
        """A new run whose first `count` jobs a daemon has just written the intents of."""
        business_id = await self.business(max_concurrent_calls=100)
        phones = [f"+9725012{number:05}" for number in range(count)]
        started = await self.start(business_id, phones, **fields)
        worker = await Worker.join(self.pool)
        await worker.claim()
        written = await worker.intend(started.data["run_id"], list(range(1, count + 1)))
        assert {row["verdict"] for row in written} == {"intent"}
        return [row["attempt_id"] for row in written]

    async def call_status(self, attempt: object, fields: Mapping[str, str], **options: Any) -> Answer:
        return await self.callback(f"/webhook/call_status?attempt={attempt}", fields, **options)

    async def callback(self, path: str, fields: Mapping[str, str], signature: str | None = None) -> Answer:
        """Post as the carrier would, signed by its own SDK."""
        signature = signature or RequestValidator(AUTH_TOKEN).compute_signature(BASE_URL + path, dict(fields))
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        return await self.ask("POST", path, None, data=urlencode(fields), headers=headers)


def news(call_sid: str, sequence: int, status: str, **others: str) -> dict[str, str]:
    """The fields of a callback, the empty ones included."""
    return {
        "CallSid": call_sid,
        "AccountSid": ACCOUNT,
        "CallStatus": status,
        "SequenceNumber": str(sequence),
        "Timestamp": f"Mon, 02 Jun 2025 10:00:{sequence:02} +0000",
        "CalledCity": "",
        **others,
    }


def sid() -> str:
    return "CA" + uuid.uuid4().hex
