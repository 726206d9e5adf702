"""The loader of named statements, and: every statement fits the schema."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

import sql
from sql import QueryFileError, load


def write(directory: Path, name: str, text: str) -> Path:
    (directory / name).write_text(text)
    return directory


async def test_every_statement_can_be_prepared_against_the_schema(database: str) -> None:
    connection = await asyncpg.connect(database)
    faults = {}
    try:
        for name in sql.names():
            try:
                await connection.prepare(sql.query(name))
            except asyncpg.PostgresError as error:
                faults[name] = str(error)
    finally:
        await connection.close()
    assert sql.names()
    assert faults == {}


def test_statements_are_read_without_their_headings(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.sql",
        "-- What the file is about.\n\n-- name: one\n-- Says one.\n-- $1 nothing\nSELECT\n    1;\n",
    )
    write(
        tmp_path,
        "b.sql",
        "-- name: two\n-- Says two.\nSELECT 2 -- not three\n;\n\n-- name: three\n-- Three.\nSELECT 3",
    )
    assert load(tmp_path) == {"one": "SELECT\n    1;", "two": "SELECT 2 -- not three\n;", "three": "SELECT 3"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("-- name: one\n-- One.\nSELECT 1;\n-- name: one\n-- Again.\nSELECT 2;", "one is used twice"),
        ("-- name: one\nSELECT 1;", "no comment says what it does"),
        ("-- name: one\n-- One.\n", "there is no statement"),
        ("-- name: \n-- One.\nSELECT 1;", "no name for a statement"),
        ("-- name: not one\n-- One.\nSELECT 1;", "no name for a statement"),
        ("SELECT 0;\n-- name: one\n-- One.\nSELECT 1;", "before the first"),
        ("SELECT 0;\n", "before the first"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(QueryFileError, match=rf"bad\.sql.*{fault}"):
        load(write(tmp_path, "bad.sql", text))


def test_a_name_used_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.sql", "-- name: one\n-- One.\nSELECT 1;")
    write(tmp_path, "b.sql", "-- name: one\n-- One.\nSELECT 1;")
    with pytest.raises(QueryFileError, match=r"b\.sql.*one is used twice"):
        load(tmp_path)


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no_such_statement"):
        sql.query("no_such_statement")
