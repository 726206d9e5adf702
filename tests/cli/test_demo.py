"""`dialer demo` as its users run it: everything is started, works, and is gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import command, descendants, dialer, line_with, processes_of, running
from tests.support.processes import alive
from tests.support.runs import add_business, add_run
from tests.support.waiting import eventually

# Two that are busy and one that fails: over sooner than the sample.
QUICK = "phone,lead_id\n+12025550185,Q-1\n+12025550186,Q-2\n+12025550195,Q-3\n"

pytestmark = pytest.mark.timeout(180)


async def test_the_demo_dials_the_sample_and_leaves_nothing_behind(data_dir: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir(mode=0o711)
    # Without DIALER_DATA_DIR the data is in the working directory.
    said = await dialer("demo", cwd=data_dir, TMPDIR=str(temporary), HOME=str(tmp_path / "home"))
    assert said.code == 0, said.err
    table = said.out.splitlines()
    assert table[0].split() == ["lead", "phone", "name", "status", "disposition", "seconds"]
    dispositions = [line.split()[-2] for line in table[1:8]]
    assert sorted(dispositions) == ["answered"] * 4 + ["busy", "failed", "no_answer"]
    assert table[8].startswith("7 of 7 leads done")
    assert table[8].endswith("largest number of calls live at once: 3 (limit 3)")
    assert "\x1b" not in said.out + said.err
    assert re.search(r"control listens on http://127\.0\.0\.1:\d+", said.err)
    assert re.search(r'curl -H "Authorization: Bearer \S{20,}" http://127\.0\.0\.1:\d+/api/runs', said.err)
    assert processes_of(str(data_dir)) == {}
    assert names_in(data_dir) == [".dialer"]
    assert names_in(temporary) == []
    assert names_in(tmp_path) == ["t"]


async def test_a_list_of_ones_own_and_its_outcome_as_json(data_dir: Path, tmp_path: Path) -> None:
    leads = tmp_path / "mine.csv"
    leads.write_text(QUICK + "+12025550185,twice\nnonsense,bad\n")
    said = await dialer("demo", str(leads), "--limit", "2", "--json", DIALER_DATA_DIR=str(data_dir))
    assert said.code == 0, said.err
    shown = json.loads(said.out)
    assert [job["lead_id"] for job in shown["jobs"]] == ["Q-1", "Q-2", "Q-3"]
    assert shown["run"]["dispositions"] | {"busy": 2, "failed": 1} == shown["run"]["dispositions"]
    assert (shown["most_live"], shown["limit"]) == (2, 2)
    assert "line 6: invalid phone" in said.err
    assert "1 duplicate" in said.err


async def test_a_real_account_in_the_environment_is_never_used(data_dir: Path, tmp_path: Path) -> None:
    leads = tmp_path / "mine.csv"
    leads.write_text(QUICK)
    real = {
        "TWILIO_ACCOUNT_SID": "AC" + "f" * 32,
        "TWILIO_AUTH_TOKEN": "real-secret",
        "TWILIO_API_BASE_URL": "http://127.0.0.1:1",
        "TWILIO_CALLS_PER_SECOND": "0.001",
        "PUBLIC_BASE_URL": "https://dialer.invalid",
        "DIALER_ADMIN_TOKEN": "my-own-operator-token",
    }
    said = await dialer("demo", str(leads), DIALER_DATA_DIR=str(data_dir), more=real)
    assert said.code == 0, said.err
    assert "3 of 3 leads done" in said.out
    assert "my-own-operator-token" not in said.err


async def test_kill_9_leaves_no_process_and_the_next_demo_starts_afresh(data_dir: Path, tmp_path: Path) -> None:
    async with running("demo", DIALER_DATA_DIR=str(data_dir)) as process:
        await line_with(process.stderr, "1 of 7 done")
        left = descendants(process.pid)
        names = " ".join(processes_of(str(data_dir)).values())
        for module in ("-m control", "-m dialer", "-m simulator", "-m dialer.embedded", "postgres", "valkey"):
            assert module in names
        process.kill()
        await process.wait()
        await eventually(lambda: not any(alive(pid) for pid in left), timeout=15)
        assert processes_of(str(data_dir)) == {}
    leads = tmp_path / "mine.csv"
    leads.write_text(QUICK)
    said = await dialer("demo", str(leads), "--json", DIALER_DATA_DIR=str(data_dir))
    assert said.code == 0, said.err
    assert json.loads(said.out)["run"]["total"] == 3
    assert json.loads(said.out)["most_live"] == 3


@pytest.mark.parametrize("moment", ["starting the servers", "control listens", "1 of 7 done"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_shuts_everything_down_at_any_moment(
    data_dir: Path, moment: str, number: signal.Signals
) -> None:
    async with running("demo", DIALER_DATA_DIR=str(data_dir)) as process:
        await line_with(process.stderr, moment)
        process.send_signal(number)
        process.send_signal(number)  # impatience changes nothing
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "Traceback" not in err.decode()
    assert out == b""
    assert processes_of(str(data_dir)) == {}


@pytest.mark.parametrize("module", ["-m control ", "-m dialer ", "-m simulator ", "-m dialer.embedded "])
async def test_a_process_that_dies_ends_the_demo_with_its_last_words(data_dir: Path, module: str) -> None:
    async with running("demo", DIALER_DATA_DIR=str(data_dir)) as process:
        await line_with(process.stderr, "control listens")
        await line_with(process.stderr, "0 of 7 done")
        [victim] = [pid for pid in descendants(process.pid) if module in command(pid)]
        os.kill(victim, signal.SIGKILL)
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "Traceback" not in err.decode()
    assert "has ended (SIGKILL)" in err.decode() or "embedded servers have ended" in err.decode()
    await eventually(lambda: processes_of(str(data_dir)) == {}, timeout=15)


async def test_servers_that_are_given_are_used(
    database: str, redis_url: str, data_dir: Path, tmp_path: Path, pool: Any
) -> None:
    leads = tmp_path / "mine.csv"
    leads.write_text(QUICK)
    said = await dialer(
        "demo", str(leads), DATABASE_URL=database, REDIS_URL=redis_url, DIALER_DATA_DIR=str(data_dir)
    )
    assert said.code == 0, said.err
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_jobs WHERE ended_at IS NOT NULL") == 3
    assert not (data_dir / "demo" / "postgres").exists()


async def test_a_database_with_work_of_its_own_is_left_alone(
    database: str, redis_url: str, data_dir: Path, pool: Any
) -> None:
    business = await add_business(pool)
    run = await add_run(pool, business, 1)
    said = await dialer("demo", DATABASE_URL=database, REDIS_URL=redis_url, DIALER_DATA_DIR=str(data_dir))
    assert (said.code, said.out) == (1, "")
    assert "DATABASE_URL is in use" in said.err
    assert await pool.fetchval("SELECT status FROM outbound_call_runs WHERE id = $1", run.run_id) == "pending"
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 1


async def test_two_demos_in_one_directory_do_not_disturb_each_other(data_dir: Path) -> None:
    async with running("demo", DIALER_DATA_DIR=str(data_dir)) as first:
        await line_with(first.stderr, "control listens")
        second = await dialer("demo", DIALER_DATA_DIR=str(data_dir))
        assert second.code == 1
        out, _ = await asyncio.wait_for(first.communicate(), 60)
    assert first.returncode == 0
    assert b"7 of 7" in out
    assert processes_of(str(data_dir)) == {}


async def test_verbose_shows_the_logs(data_dir: Path, tmp_path: Path) -> None:
    leads = tmp_path / "mine.csv"
    leads.write_text(QUICK)
    said = await dialer("demo", str(leads), "-v", DIALER_DATA_DIR=str(data_dir))
    assert said.code == 0
    assert re.search(r"^daemon: .*CALL_PLACED", said.err, re.MULTILINE)
    assert re.search(r"^control: .*STARTUP", said.err, re.MULTILINE)
    assert "CALL_PLACED" not in said.out


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]
