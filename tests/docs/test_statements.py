"""SQL in the documents can be run as it stands: what reads or changes rows is planned on a database of today."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.docs.pages import DOCUMENTS, fences_of

# Of others there is nothing to plan (SHOW, ALTER SYSTEM, what is for a pooler's console).
PLANNED = ("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")

STATEMENTS = [
    (fence.where, statement)
    for document in DOCUMENTS
    for fence in fences_of(document)
    if fence.language == "sql"
    for text in re.sub("--.*", "", fence.text).split(";")
    if (statement := text.strip()).upper().startswith(PLANNED)
]


async def test_every_statement_can_be_planned(pool: Any) -> None:
    faults = {}
    for where, statement in STATEMENTS:
        try:
            await pool.execute(f"EXPLAIN {statement}")
        except Exception as fault:
            faults[where] = f"{fault}: {statement}"
    assert faults == {}
    assert len(STATEMENTS) > 5


@pytest.mark.parametrize("missing", ["no_such_table", "outbound_call_runs WHERE no_such_column"])
async def test_one_that_cannot_would_be_found(pool: Any, missing: str) -> None:
    with pytest.raises(Exception, match="does not exist"):
        await pool.execute(f"EXPLAIN SELECT 1 FROM {missing}")
