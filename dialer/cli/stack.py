"""The processes of one installation: which there are, with what environment, in what order they come and go.

Embedded servers first (where no address is given), then the simulator (where one is wanted), control, the
daemon. Stopping goes the other way round: the daemon drains while control still takes the callbacks.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from dialer.cli.child import Child, Program, environment_with, python_module
from dialer.cli.client import Client
from dialer.cli.failures import Failed, say
from dialer.cli.interrupts import Interrupts
from dialer.cli.ports import TakenPort
from dialer.cli.stage import empty_redis, fresh_database
from dialer.cli.troubles import Refused, Unreachable
from dialer.config import Settings
from dialer.embedded import EmbeddedServers
from dialer.embedded import start as start_servers

# A simulated account may be known to everybody; it stays the same, so that a run outlives a restart.
SIMULATED_ACCOUNT = "AC" + "51" * 16
SIMULATED_AUTH_TOKEN = "simulated"  # noqa: S105 - opens nothing
SIMULATED_FROM_NUMBER = "+12025550100"

START_WITHIN_SECONDS = 90.0  # migrations, or a recovery after a power cut, take a while
LOOK_EVERY_SECONDS = 0.05
# The daemon promises to be gone 10 s after SIGTERM; control gives requests under way 4 s.
DAEMON_STOPS_WITHIN, CONTROL_STOPS_WITHIN = 12.0, 8.0

T = TypeVar("T")
Environment = dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """What is to be started."""

    settings: Settings
    data_dir: Path
    host: str
    port: int  # 0: any free one
    token: str
    simulator: bool
    fresh: bool = False  # what is embedded starts empty
    verbose: bool = False


class Stack:
    """The running processes. Leaving it stops them all; being killed does too (see `child`)."""

    def __init__(self, blueprint: Blueprint, asked: Interrupts) -> None:
        self._blueprint = blueprint
        self._asked = asked
        self._servers: EmbeddedServers | None = None
        self._changes: Environment = {}
        self.children: list[Child] = []
        self.simulator_url: str | None = None
        # Kept while we run: control takes it seconds from now, and again whenever it is restarted.
        self._port = None if blueprint.port else TakenPort(blueprint.host)
        self.port = blueprint.port if self._port is None else self._port.number
        self.client = Client(f"http://{as_peer(blueprint.host)}:{self.port}", blueprint.token)

    def __enter__(self) -> "Stack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start all but the daemon; returns when control is ready.

        Raises Failed with the log's end when a process dies or does not come up, and EmbeddedServersError.
        """
        directory = self._blueprint.data_dir
        try:
            (directory / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(f"cannot write to {directory} ({error.strerror}): set DIALER_DATA_DIR") from error
        simulator = self._start_simulator() if self._blueprint.simulator else None
        settings = self._blueprint.settings
        if settings.database_url is None or settings.redis_url is None:
            self._servers = start_servers(directory)
        if simulator is not None:
            self.simulator_url = self._until(lambda: _printed_url(simulator), "the simulator")
        self._changes = self._environment()
        migrations = "1" if self._may_migrate() else "0"
        environment = {**self._changes, "RUN_MIGRATIONS": migrations}
        self._start("control", python_module("control"), environment, CONTROL_STOPS_WITHIN)
        self._until(self._control_is_ready, "control")

    def start_daemon(self) -> Child:
        """Start the daemon; it waits for nothing that is not there by now."""
        environment = {**self._changes, "RUN_MIGRATIONS": "0"}
        return self._start("daemon", python_module("dialer"), environment, DAEMON_STOPS_WITHIN)

    def await_daemon(self, daemon: Child) -> None:
        """Wait until control's health tells of the daemon. Raises Failed."""

        def known() -> bool:
            try:
                return any(one["pid"] == daemon.pid for one in self.known_daemons())
            except (Unreachable, Refused):  # 503 while something is away
                return False

        self._until(known, "the daemon")

    def known_daemons(self) -> list[dict[str, object]]:
        """The live daemons that the database knows, also those of other machines."""
        found: list[dict[str, object]] = self.client.get("/api/health")["daemons"]
        return found

    def restart(self, child: Child) -> None:
        """Start the program of a child that died once more."""
        with self._asked.deferred():
            self.children[self.children.index(child)] = Child(child.program)

    def check(self) -> None:
        """Raise Failed, with the end of its log, when a process has died."""
        self.echo()
        for child in self.children:
            if child.exit_code is not None:
                raise Failed(obituary(child))
        self.check_servers()

    def check_servers(self) -> None:
        """Raise Failed when the embedded servers are gone for good."""
        if self._servers is not None and self._servers.process.poll() is not None:
            raise Failed(f"the embedded servers have ended: see {self._servers.directory / 'keeper.log'}")

    def echo(self) -> None:
        """With -v: pass on what the processes have logged. Raises StopAsked when a signal has come."""
        self._asked.check()
        if self._blueprint.verbose:
            for child in self.children:
                for line in child.new_lines():
                    say(f"{child.name}: {line}")

    def close(self) -> None:
        """Stop everything in order. Calling it again does nothing."""
        self._asked.hold()
        while self.children:
            child = self.children[-1]
            if not child.stop():
                say(f"{child.name} did not stop within {child.program.stop_within:g} s: killed")
            self.echo()
            self.children.pop()
        if self._servers is not None:
            self._servers.close()
            self._servers = None
        if self._port is not None:
            self._port.close()

    def _start(self, name: str, command: tuple[str, ...], changes: Environment, stop_within: float = 5.0) -> Child:
        log = self._blueprint.data_dir / "logs" / f"{name}.log"
        with self._asked.deferred():
            child = Child(Program(name, command, environment_with(changes), log, stop_within))
            self.children.append(child)
        return child

    def _start_simulator(self) -> Child:
        account = ("--account-sid", SIMULATED_ACCOUNT, "--auth-token", SIMULATED_AUTH_TOKEN)
        return self._start("simulator", python_module("simulator", "--port", "0", *account), {})

    def _environment(self) -> Environment:
        """What control and the daemon get that differs from our own environment."""
        plan = self._blueprint
        changes: Environment = {
            "CONTROL_HOST": plan.host,
            "CONTROL_PORT": str(self.port),
            "DIALER_ADMIN_TOKEN": plan.token,
            "DIALER_DATA_DIR": str(plan.data_dir),
        }
        if self._servers is not None:
            changes |= self._embedded_addresses(self._servers)
        if self.simulator_url is not None:
            changes |= {
                "TWILIO_API_BASE_URL": self.simulator_url,
                "TWILIO_ACCOUNT_SID": SIMULATED_ACCOUNT,
                "TWILIO_AUTH_TOKEN": SIMULATED_AUTH_TOKEN,
                "TWILIO_FROM_NUMBER": SIMULATED_FROM_NUMBER,
                "TWILIO_CALLS_PER_SECOND": "0",
                "PUBLIC_BASE_URL": self.client.url,
            }
        return changes

    def _embedded_addresses(self, servers: EmbeddedServers) -> Environment:
        """Of those servers whose place nobody has given."""
        settings, fresh = self._blueprint.settings, self._blueprint.fresh
        changes: Environment = {}
        if settings.database_url is None:
            dsn = fresh_database(servers.dsn) if fresh else servers.dsn
            changes |= {"DATABASE_URL": dsn, "MIGRATION_DATABASE_URL": None}
        if settings.redis_url is None:
            if fresh:
                empty_redis(servers.redis_url)
            changes["REDIS_URL"] = servers.redis_url
        return changes

    def _may_migrate(self) -> bool:
        settings = self._blueprint.settings
        return settings.run_migrations or "run_migrations" not in settings.model_fields_set

    def _control_is_ready(self) -> bool:
        # Not for long: whatever else listens there may never answer.
        client = replace(self.client, answer_within=2.0)
        try:
            client.get("/readyz")
            # The probe may see the new schema a moment before control itself has noticed it.
            client.get("/api/runs", {"limit": 1})
        except (Unreachable, Refused):
            return False
        return True

    def _until(self, fact: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + START_WITHIN_SECONDS
        while not (found := fact()):
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"{what} did not come up within {START_WITHIN_SECONDS:g} s: see {self._logs()}")
            time.sleep(LOOK_EVERY_SECONDS)
        return found

    def _logs(self) -> Path:
        return self._blueprint.data_dir / "logs"


def obituary(child: Child) -> str:
    """How a child ended and its last words, for the user."""
    return f"{child.name} has ended ({child.how_it_ended()}); its log, {child.program.log}, ends:\n" + (
        child.last_words() or "(nothing)"
    )


def as_peer(host: str) -> str:
    """Where to reach a server that listens on `host`, as it stands in a URL."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{reachable}]" if ":" in reachable else reachable


def _printed_url(simulator: Child) -> str | None:
    """The simulator says where it listens in a line of JSON."""
    log = simulator.program.log
    for line in log.read_text(errors="replace").splitlines(keepends=True) if log else ():
        if line.startswith('{"url"') and line.endswith("\n"):
            return str(json.loads(line)["url"])
    return None
