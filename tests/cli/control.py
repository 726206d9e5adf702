"""A real control, and the `dialer` command that talks to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.cli.running import Said, dialer
from tests.control.house import OPERATOR, House


@dataclass(frozen=True)
class Control:
    house: House
    url: str

    async def tell(self, *arguments: str, token: str = OPERATOR, **variables: str) -> Said:
        """Run a command against this control, as the operator unless another token is given."""
        more = {"DIALER_URL": self.url, "DIALER_TOKEN": token, **variables}
        return await dialer(*arguments, more=more)

    async def done(self, *arguments: str, **variables: str) -> Said:
        """The same, of a command that succeeds."""
        said = await self.tell(*arguments, **variables)
        assert said.code == 0, said.err
        return said

    async def json(self, *arguments: str, **variables: str) -> Any:
        """What a command that succeeds prints with --json."""
        return json.loads((await self.done(*arguments, "--json", **variables)).out)

    async def run(self, calls: int = 3, live: int = 0, **fields: Any) -> int:
        """The id of a new run of the business 1, so many of whose calls are just being placed."""
        if live:
            await self.house.attempts(live, **fields)
            return 1
        business = await self.house.business()
        started = await self.house.start(business, [f"+9725012345{n:02}" for n in range(calls)], **fields)
        run_id: int = started.data["run_id"]
        return run_id


def rows(said: Said) -> list[list[str]]:
    """The cells of a table that was printed, without its heading; two blanks or more separate them."""
    return [re.split(" {2,}", line) for line in said.out.splitlines()[1:]]
