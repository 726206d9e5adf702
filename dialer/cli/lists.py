"""Lists of the server: read page by page, shown as they come, never held whole."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import click

from dialer.cli.client import Client, Query, expect
from dialer.cli.failures import say
from dialer.cli.patience import read
from dialer.cli.show import print_json_list, print_table

PAGE = 500


class Listing:
    """The items of a list in the server's order, at most so many; can be gone through once."""

    def __init__(self, client: Client, path: str, query: Query, most: int | None = None) -> None:
        self._client, self._path, self._query = client, path, query
        self._left = most
        self.more = False  # whether there are more than were asked for; known at the end

    def __iter__(self) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            limit = PAGE if self._left is None else min(PAGE, self._left)
            query = {**self._query, "limit": limit, "cursor": cursor}
            page = expect(read(self._client, self._path, query), "data", "next_cursor")
            yield from page["data"]
            cursor = page["next_cursor"]
            if self._left is not None:
                self._left -= len(page["data"])
            self.more = cursor is not None
            if cursor is None or (self._left is not None and self._left <= 0):
                return


def paging_options(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command `most`, from --limit and --all: how many items are wanted, None for every one."""

    def with_paging(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(
            "--limit", type=click.IntRange(min=1), default=default, show_default=True, help="At most so many."
        )
        @click.option("--all", "everything", is_flag=True, help="Every one, whatever --limit says.")
        @wraps(command)
        def given(*args: Any, limit: int, everything: bool, **options: Any) -> Any:
            return command(*args, most=None if everything else limit, **options)

        return given

    return with_paging


def show_list(
    listing: Listing, as_json: bool, columns: Sequence[str], row: Callable[[Any], Sequence[object]]
) -> None:
    """Print a list as it comes: a table, or a JSON array with an item a line."""
    if as_json:
        print_json_list(listing)
    else:
        print_table(columns, (row(item) for item in listing))
    if listing.more:
        say("there are more: see --limit and --all")
