"""`dialer config show`: every setting, where it comes from, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from dialer.cli import main
from dialer.config import SECRETS, Settings

TOKEN = "geheim"


def show(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["config", "show", *arguments], env=environment)


def by_name(result: Result) -> dict[str, tuple[str | None, str, bool]]:
    assert result.exit_code == 0, result.stderr
    return {one["name"]: (one["value"], one["source"], one["secret"]) for one in json.loads(result.stdout)}


def test_every_setting_is_shown_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = by_name(
        show(
            "--json",
            DATABASE_URL=f"postgresql://dialer:{TOKEN}@db/dialer",
            TWILIO_AUTH_TOKEN_FILE=str(tmp_path / "token"),
            CONTROL_PORT="8090",
            LOG_LEVEL="",
            RUN_MIGRATIONS="1",
        )
    )
    assert list(found) == [name.upper() for name in Settings.model_fields]
    assert {name for name, (_, _, secret) in found.items() if secret} == set(SECRETS)
    assert found["CONTROL_PORT"] == ("8090", "environment", False)
    assert found["RUN_MIGRATIONS"] == ("1", "environment", False)
    assert found["LOG_LEVEL"] == ("INFO", "default", False), "empty is unset"
    assert found["TWILIO_AUTH_TOKEN"] == ("********", f"TWILIO_AUTH_TOKEN_FILE ({tmp_path / 'token'})", True)
    assert found["METRICS_TOKEN"] == (None, "default", True)


def test_what_follows_other_settings_is_shown_as_it_is_in_force() -> None:
    found = by_name(show("--json", CONTROL_PORT="8090", DIALER_DATA_DIR="/data", DATABASE_URL="postgresql://db/x"))
    assert found["PUBLIC_BASE_URL"] == ("http://127.0.0.1:8090", "default", False)
    assert found["RECORDINGS_DIR"] == ("/data/recordings", "default", False)
    assert found["MIGRATION_DATABASE_URL"] == ("********", "default", True)


def test_no_secret_is_ever_shown() -> None:
    given = dict.fromkeys(SECRETS, TOKEN) | {
        "DATABASE_URL": f"postgresql://dialer:{TOKEN}@db/dialer",
        "MIGRATION_DATABASE_URL": f"postgresql://dialer:{TOKEN}@db/dialer",
        "REDIS_URL": f"redis://:{TOKEN}@cache/0",
    }
    for arguments in ([], ["--json"]):
        result = show(*arguments, **given)
        assert result.exit_code == 0
        assert TOKEN not in result.stdout + result.stderr


def test_nor_the_password_in_an_address() -> None:
    given = dict.fromkeys(("PUBLIC_BASE_URL", "TWILIO_API_BASE_URL"), f"https://joe:{TOKEN}@x.example/a@b")
    found = by_name(show("--json", **given))
    assert {found[name][0] for name in given} == {"https://********@x.example/a@b"}


def test_faults_are_told_instead() -> None:
    result = show(CONTROL_PORT="x", RATE_LIMIT_PER_SECOND="-1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "CONTROL_PORT" in result.stderr
    assert "RATE_LIMIT_PER_SECOND" in result.stderr
