"""The REST API of the carrier: recordings and their sound."""

import time

from aiohttp import web

from simulator import refusals
from simulator.answers import Answer, json_answer, no_content, refusal_answer
from simulator.calls import Call
from simulator.exchange import Exchange
from simulator.faults import Faults, On
from simulator.ledger import Ledger, MediaRead
from simulator.recordings import Recording
from simulator.resources import Page, account_path, page_resource, recording_resource
from simulator.rest import Door
from simulator.settings import Panel

_NOT_FOUND = refusal_answer(refusals.NOT_FOUND)


class RecordingsApi:
    """`/Recordings` of the account and of one call."""

    def __init__(self, panel: Panel, faults: Faults, exchange: Exchange, ledger: Ledger) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._door = Door(panel, faults)

    def routes(self) -> list[web.RouteDef]:
        account = account_path("{account}")
        return [
            web.get(f"{account}/Recordings.json", self.list),
            web.get(f"{account}/Calls/{{sid}}/Recordings.json", self.list),
            web.get(f"{account}/Recordings/{{recording:RE[0-9a-f]+}}.json", self.fetch),
            web.get(f"{account}/Recordings/{{recording:RE[0-9a-f]+}}{{ending:(\\.mp3|\\.wav)?}}", self.media),
            web.delete(f"{account}/Recordings/{{recording:RE[0-9a-f]+}}{{ending:(\\.json)?}}", self.delete),
        ]

    async def list(self, request: web.Request) -> web.StreamResponse:
        call_sid = request.match_info.get("sid", request.query.get("CallSid"))

        async def act() -> Answer:
            if "sid" in request.match_info and call_sid not in self._exchange.calls:
                return _NOT_FOUND
            found = [
                recording_resource(recording, self._exchange.base_url)
                for recording in reversed(self._exchange.recordings.values())
                if call_sid in (None, recording.call_sid)
            ]
            page = Page.wanted(request.query)
            start = page.number * page.size
            items = found[start : start + page.size]
            last_sid = str(items[-1]["sid"]) if start + page.size < len(found) else ""
            content = page_resource("recordings", request.path, request.query, page, start, items, last_sid)
            return json_answer(200, content)

        return await self._door.answer(request, On.RECORDING, act, self._exchange.calls.get(call_sid or ""))

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        recording = self._wanted(request)

        async def act() -> Answer:
            if recording is None:
                return _NOT_FOUND
            return json_answer(200, recording_resource(recording, self._exchange.base_url))

        return await self._door.answer(request, On.RECORDING, act, self._call_of(recording))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        recording = self._wanted(request)

        async def act() -> Answer:
            if recording is None:
                return _NOT_FOUND
            del self._exchange.recordings[recording.sid]
            return no_content()

        return await self._door.answer(request, On.RECORDING, act, self._call_of(recording))

    async def media(self, request: web.Request) -> web.StreamResponse:
        """The sound; WAV if no ending is given; 404 until it has been processed. Ranges are honoured.

        Faults strike a GET: a HEAD has no body to spoil.
        """
        recording = self._wanted(request)
        read = MediaRead(
            request.match_info["recording"],
            recording.call_sid if recording else "",
            time.monotonic(),
            request.method,
            "Authorization" in request.headers,
        )
        self._ledger.media.append(read)

        async def act() -> Answer:
            if recording is None or not recording.ready:
                return _NOT_FOUND
            return _sound(request, recording)

        public = not self._door.panel.settings.media_auth
        response = await self._door.answer(
            request, On.MEDIA, act, self._call_of(recording), public=public, spared=request.method == "HEAD"
        )
        read.ended, read.status = time.monotonic(), response.status
        if recording is not None and request.method == "GET" and response.status == 200:
            read.whole = response.body_length >= len(recording.sound(request.match_info["ending"]))
        return response

    def _wanted(self, request: web.Request) -> Recording | None:
        return self._exchange.recordings.get(request.match_info["recording"])

    def _call_of(self, recording: Recording | None) -> Call | None:
        return self._exchange.calls.get(recording.call_sid) if recording else None


def _sound(request: web.Request, recording: Recording) -> Answer:
    ending = request.match_info["ending"]
    sound, content_type = recording.sound(ending), "audio/mpeg" if ending == ".mp3" else "audio/x-wav"
    headers = {"Accept-Ranges": "bytes"}
    try:
        start, end, _ = request.http_range.indices(len(sound))
    except ValueError:
        start, end = 0, len(sound)
    if "Range" not in request.headers:
        return Answer(200, sound, content_type, headers)
    if start >= end:
        return Answer(416, b"", content_type, {**headers, "Content-Range": f"bytes */{len(sound)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(sound)}"
    return Answer(206, sound[start:end], content_type, headers)
