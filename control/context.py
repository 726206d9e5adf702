"""What the handlers share. Built once by `control.app`, found under `request.app[CONTEXT]`."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from control.carrier.signature import Verifier
from control.chores import Chores
from control.database import Database
from control.events.changes import Changes
from control.events.watcher import Watcher
from control.hints import Hints
from control.probes.metrics_kept import Metrics
from control.requests.limits import Limits
from control.requests.patience import Patience
from control.requests.readers import Readers
from control.schema import Schema
from control.stopping.hangups import Hangups
from control.stopping.reaper import Reaper
from dialer.config import Settings
from dialer.edges.redis_client import RedisClient
from dialer.edges.shelf import Shelf
from dialer.intake import Intake
from dialer.rhythm import Rhythm

# Each start holds a connection while it imports; the others stay free for callbacks.
IMPORTS_AT_ONCE = 4


@dataclass
class Context:
    settings: Settings
    database: Database
    redis: RedisClient
    hints: Hints
    schema: Schema
    verifier: Verifier
    hangups: Hangups
    reaper: Reaper
    sweeps: Rhythm
    metrics: Metrics
    intake: Intake = field(kw_only=True)
    changes: Changes = field(kw_only=True)
    watcher: Watcher = field(kw_only=True)
    limits: Limits = field(kw_only=True)
    shelf: Shelf = field(kw_only=True)
    patience: Patience = field(default_factory=Patience)
    readers: Readers = field(default_factory=Readers)
    chores: Chores = field(default_factory=Chores)
    imports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IMPORTS_AT_ONCE))


CONTEXT = web.AppKey("context", Context)
