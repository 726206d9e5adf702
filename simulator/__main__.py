"""`python -m simulator`: serves one simulated carrier account until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import fields
from typing import Any

import uvloop
from pydantic import ValidationError

from simulator.app import Simulator
from simulator.settings import Settings

_SHORT_FLAGS = {"account_sid": ["--account"]}


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a signal, 1 if the address cannot be had, 2 for bad usage."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    host, port = given.pop("host"), given.pop("port")
    try:
        settings = Settings().changed(given)
    except ValidationError as fault:
        parser.error("; ".join(f"{error['loc'][0]}: {error['msg']}" for error in fault.errors()))
    try:
        uvloop.run(_serve(settings, host, port))
    except OSError as fault:
        print(f"cannot listen on {host}:{port}: {fault.strerror}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings, host: str, port: int) -> None:
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    async with Simulator(settings).serve(port, host) as simulator:
        print(json.dumps({"url": simulator.url}), flush=True)
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m simulator", description="A local carrier. Every setting can also be changed under /_sim/."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0: any free port")
    defaults = Settings()
    for setting in fields(Settings):
        parser.add_argument(
            *_SHORT_FLAGS.get(setting.name, []),
            f"--{setting.name.replace('_', '-')}",
            dest=setting.name,
            default=argparse.SUPPRESS,
            type=_kind(getattr(defaults, setting.name)),
            help=f"default: {getattr(defaults, setting.name)!r}",
        )
    return parser


def _kind(default: Any) -> Any:
    if default is None or isinstance(default, bool | dict | tuple):
        return json.loads
    return type(default)


if __name__ == "__main__":
    sys.exit(main())
