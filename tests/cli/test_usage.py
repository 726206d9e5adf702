"""What needs no process: help, and bad input, which is told in one line and exits with 2."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from dialer.cli import main
from dialer.cli.leads import sample_leads
from dialer.cli.reference import examples, leaves, reference

COMMANDS = (
    *(
        "demo",
        "up",
        "serve",
        "migrate",
        "start",
        "runs",
        "jobs",
        "status",
        "drain",
        "businesses",
        "keys",
        "healthcheck",
    ),
)
LEAVES = list(leaves(main))
TWIML = "<Response/>"


def invoke(*arguments: str, stdin: bytes | None = None, environment: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin, env=environment)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_command_answers_help_with_an_example(path: str, command: click.Command) -> None:
    result = invoke(*path.split()[1:], "--help")
    assert result.exit_code == 0
    assert f"Usage: {path}" in result.stdout
    assert path in result.stdout.partition("Example")[2]


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_the_examples_are_good_usage(path: str, command: click.Command) -> None:
    """They parse: options that are gone or were misspelt would not."""
    for line in examples(command):
        words = shlex.split(line.partition(path)[2])
        end = next((n for n, word in enumerate(words) if word in ("|", "<", ">", "&&")), len(words))
        command.make_context(path, words[:end])


def test_the_overview_lists_the_commands() -> None:
    listed = invoke("--help").stdout
    assert all(command in listed for command in COMMANDS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"number,name\n+12025550110,Dana\n", "there is no column `phone`"),
        (b'phone,name\n+12025550110,"Dana\n', "line 2"),
        (b"", "there is no column `phone`"),
        (b"phone,name\n\n\n", "there is no lead"),
        (b"phone,name\n+12025550110,D\xe0na\n", "line 2: not UTF-8"),
    ],
)
def test_a_bad_list_is_told_in_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    leads = tmp_path / "leads.csv"
    leads.write_bytes(content)
    result = invoke("start", str(leads), "--url", "https://example.com/hello")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "2025550110" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["start", "no-such-file.csv", "--url", "https://example.com"], "no-such-file.csv cannot be read"),
        (["start", "-"], "--twiml FILE or --url URL"),
        (["start", "-", "--twiml", "x", "--url", "y"], "--twiml FILE or --url URL"),
        (["start", "-", "--twiml", "-"], "only one"),
        (["start", "-", "--twiml", "no-such-file.xml"], "no-such-file.xml cannot be read"),
        (["start", "-", "--url", "u", "--server", "localhost:8080"], "DIALER_URL"),
        (["start", "-", "--url", "u", "--server", "http://localhost:no"], "DIALER_URL"),
        (["start", "-", "--url", "u", "--concurrency", "0"], "--concurrency"),
        (["runs", "show", "seven"], "seven"),
        (["runs", "list", "--limit", "0"], "--limit"),
        (["runs", "list", "--status", "happy"], "--status"),
        (["runs", "show", "7", "--status", "failed"], "--jobs"),
        (["runs", "cancel"], "ID"),
        (["status", "--watch", "0"], "--watch"),
        (["businesses", "set", "4"], "name what is to be changed"),
        (["keys", "create", "4", "CRM", "--role", "king"], "--role"),
        (["demo", "--limit", "0"], "--limit"),
        (["demo", "no-such-file.csv"], "no-such-file.csv cannot be read"),
        (["dance"], "No such command"),
    ],
)
def test_bad_usage_exits_with_2_and_says_what(arguments: list[str], expected: str) -> None:
    result = invoke(*arguments, stdin=b"phone\n+12025550110\n")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stdout == ""


def test_a_twiml_that_is_too_long_for_a_url_is_refused(tmp_path: Path) -> None:
    twiml = tmp_path / "hello.xml"
    twiml.write_text(f"<Response><Say>{'שלום ' * 1000}</Say></Response>", encoding="utf-8")
    result = invoke("start", "-", "--twiml", str(twiml), stdin=b"phone\n+12025550110\n")
    assert result.exit_code == 2
    assert "--url" in result.stderr


@pytest.mark.parametrize("command", ["demo", "up", "serve"])
def test_every_fault_of_the_configuration_is_told_at_once(command: str) -> None:
    result = invoke(command, environment={"CONTROL_PORT": "port", "TWILIO_ACCOUNT_SID": "me"})
    assert result.exit_code == 2
    assert "CONTROL_PORT" in result.stderr
    assert "TWILIO_ACCOUNT_SID" in result.stderr


ACCOUNT = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "secret-token"}


@pytest.mark.parametrize("address", ["", "http://localhost:8080", "http://127.1.2.3", "http://[::1]:8080"])
def test_up_refuses_an_address_that_the_real_carrier_cannot_reach(tmp_path: Path, address: str) -> None:
    result = invoke(
        "up", environment={**ACCOUNT, "PUBLIC_BASE_URL": address, "DIALER_DATA_DIR": str(tmp_path / "data")}
    )
    assert result.exit_code == 2
    assert "PUBLIC_BASE_URL" in result.stderr
    assert "tunnel" in result.stderr
    assert not (tmp_path / "data").exists()


def test_up_wants_a_carrier_account_unless_simulated() -> None:
    result = invoke("up")
    assert result.exit_code == 2
    assert "TWILIO_ACCOUNT_SID: must be set" in result.stderr
    assert "TWILIO_AUTH_TOKEN: must be set" in result.stderr


def test_the_sample_list_is_part_of_the_package() -> None:
    assert resources.files("dialer.cli").joinpath("sample_leads.csv").is_file()
    assert len(sample_leads().lines) == 7


def test_the_reference_is_what_the_commands_say() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference(main), "python -m dialer.cli.reference > docs/cli.md"
