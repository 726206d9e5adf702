"""Puts the simulator together and serves it."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from simulator.account import AccountApi
from simulator.callbacks import Callbacks
from simulator.changes import Changes, Chores
from simulator.exchange import Exchange
from simulator.faults import Fault, Faults
from simulator.ledger import Ledger
from simulator.media import RecordingsApi
from simulator.outcomes import ANY_NUMBER, Outcome, Plan, Scripts
from simulator.rest import CallsApi
from simulator.settings import Panel, Settings
from simulator.switches import Switches

_LARGEST_BODY = 1 << 20


class Simulator:
    """One simulated carrier account. Its parts may be used directly by a test in the same loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._first_settings = settings or Settings()
        self._panel = Panel(self._first_settings)
        self._randomness = random.Random(self._first_settings.seed)
        self._changes, self._chores = Changes(), Chores()
        self.ledger = Ledger()
        self.faults = Faults(self._randomness)
        self.scripts = Scripts()
        self.callbacks = Callbacks(
            self._panel, self.faults, self.ledger, self._changes, self._chores, self._randomness
        )
        self.exchange = Exchange(
            self._panel,
            self.faults,
            self.scripts,
            self.callbacks,
            self.ledger,
            self._changes,
            self._chores,
            self._randomness,
        )
        self.url = ""

    @asynccontextmanager
    async def serve(self, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator["Simulator"]:
        """Listens while inside; `url` is then known. Port 0 takes any free one.

        On leaving, everything under way is dropped: answers, callbacks, calls.
        """
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            bound = runner.addresses[0][1]
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
            self.exchange.base_url = self.settings.public_url or self.url
            yield self
        finally:
            # Requests first: one that is still being answered could place another call.
            await runner.cleanup()
            self.exchange.stop()
            await self._chores.stop()
            await self.callbacks.close()

    def app(self) -> web.Application:
        """The application with all its routes, for those who serve it themselves (and set `url`)."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.add_routes(
            [
                *CallsApi(self._panel, self.faults, self.exchange, self.ledger, self._changes).routes(),
                *AccountApi(self._panel, self.faults).routes(),
                *RecordingsApi(self._panel, self.faults, self.exchange, self.ledger).routes(),
                *Switches(self).routes(),
            ]
        )
        return app

    @property
    def settings(self) -> Settings:
        return self._panel.settings

    @property
    def idle(self) -> bool:
        """No call is live and no callback is on its way."""
        return self.ledger.live_now == 0 and self.callbacks.in_flight == 0

    def change(self, **changes: Any) -> None:
        """Replaces some settings. Raises pydantic.ValidationError and changes nothing if one is bad."""
        self._panel.settings = self.settings.changed(changes)
        self.exchange.base_url = self.settings.public_url or self.url
        if "seed" in changes:
            self._randomness.seed(self.settings.seed)

    def misbehave(self, on: str, do: str, **details: Any) -> None:
        """Arms a fault: `misbehave("create", "drop", times=2)`. Raises ValueError for an impossible one."""
        self.faults.arm(Fault(**{"on": on, "do": do, **details}))

    def script(self, to: str, *plans: Plan | Outcome | str, repeat_last: bool = False) -> None:
        """Lays down how the next calls to a number go: `script("+15551230001", "busy", "answered")`."""
        laid = [one if isinstance(one, Plan) else Plan(Outcome(one)) for one in plans]
        self.scripts.lay_down(to, laid, repeat_last=repeat_last)

    def everybody(self, plan: Plan | Outcome | str) -> None:
        """Every call to a number without a script of its own goes like this."""
        self.script(ANY_NUMBER, plan, repeat_last=True)

    def reset(self, *what: str) -> None:
        """Back to the start: any of `faults`, `scripts`, `settings`, `ledger`; live calls live on."""
        if "faults" in what:
            self.faults.clear()
        if "scripts" in what:
            self.scripts.clear()
        if "settings" in what:
            self.change(**self._first_settings.as_dict())
        if "ledger" in what:
            self.ledger.clear()

    async def wait_for(self, condition: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Whether a fact about this simulator came true within `timeout` seconds."""
        return await self._changes.wait_for(condition, timeout)
