"""What the image and the composition name is there: commands, variables, folders, settings that are read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dialer.cli import main
from dialer.cli.stack import CONTROL_STOPS_WITHIN, DAEMON_STOPS_WITHIN
from dialer.config import Settings, load
from simulator import Settings as CarrierSettings
from tests.deploy.reading import TOP, variables

COMPOSE = yaml.safe_load((TOP / "docker-compose.yml").read_text())
DOCKERFILE = (TOP / "Dockerfile").read_text()
OURS = ("migrate", "control", "dialer")


@pytest.mark.parametrize("service", OURS)
def test_every_variable_of_a_service_is_a_setting(service: str) -> None:
    given = COMPOSE["services"][service]["environment"]
    assert {name.lower() for name in given} <= set(Settings.model_fields)


@pytest.mark.parametrize("service", OURS)
def test_with_the_demos_values_a_service_finds_all_that_it_requires(service: str) -> None:
    settings = load(resolved(COMPOSE["services"][service]["environment"], variables("deploy/demo.env")))
    settings.require("DATABASE_URL", "REDIS_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    assert settings.service_role == {"control": "api", "dialer": "worker"}.get(service, "all")
    assert (settings.dialer_admin_token is not None) == (service == "control")


def test_the_demo_is_the_simulators_account() -> None:
    demo, carrier = variables("deploy/demo.env"), CarrierSettings()
    assert (demo["TWILIO_ACCOUNT_SID"], demo["TWILIO_AUTH_TOKEN"]) == (carrier.account_sid, carrier.auth_token)
    command = COMPOSE["services"]["simulator"]["command"]
    assert demo["TWILIO_API_BASE_URL"] == f"http://simulator:{command[-1]}"
    assert command[:3] == ["python", "-m", "simulator"]


def test_what_must_be_set_is_in_both_files_of_variables() -> None:
    must = set(re.findall(r"\$\{([A-Z_]+):\?", (TOP / "docker-compose.yml").read_text()))
    may = set(re.findall(r"\$\{([A-Z_]+):-", (TOP / "docker-compose.yml").read_text()))
    for path in ("deploy/example.env", "deploy/demo.env"):
        assert must <= set(variables(path)) <= must | may


def test_no_secret_is_written_down() -> None:
    for name in ("POSTGRES_PASSWORD", "DIALER_ADMIN_TOKEN", "TWILIO_AUTH_TOKEN"):
        assert variables("deploy/example.env")[name] == ""


def test_every_command_exists() -> None:
    commands = [json.loads(found) for found in re.findall(r"^(?:HEALTHCHECK .* )?CMD (\[.*\])$", DOCKERFILE, re.M)]
    commands = [*(c for c in commands), COMPOSE["services"]["migrate"]["command"]]
    assert [c[0] for c in commands] == ["dialer"] * 3
    assert {c[1] for c in commands} <= set(main.commands)


def test_waiting_is_for_services_that_are_there() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            assert how["condition"] != "service_healthy" or "test" in services[other]["healthcheck"]


@pytest.mark.parametrize(
    ("service", "takes"), [("dialer", DAEMON_STOPS_WITHIN), ("control", CONTROL_STOPS_WITHIN)]
)
def test_a_stop_gives_more_time_than_it_takes(service: str, takes: float) -> None:
    assert int(COMPOSE["services"][service]["stop_grace_period"].rstrip("s")) > takes


def test_there_can_be_several_daemons() -> None:
    assert not {"container_name", "ports", "hostname"} & set(COMPOSE["services"]["dialer"])


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_no_service_takes_all_memory_or_fills_the_disk_with_its_log(service: str) -> None:
    assert COMPOSE["services"][service]["mem_limit"]
    assert {"max-size", "max-file"} <= set(COMPOSE["services"][service]["logging"]["options"])


@pytest.mark.parametrize("service", [*OURS, "simulator"])
def test_ours_are_locked_up(service: str) -> None:
    given = COMPOSE["services"][service]
    assert (given["read_only"], given["cap_drop"]) == (True, ["ALL"])
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert given["pids_limit"]


def test_the_image_holds_every_package() -> None:
    copied = set(re.findall(r"^COPY ([a-z]+) ", DOCKERFILE, re.M))
    listed = (TOP / "pyproject.toml").read_text().split("[tool.hatch.build.targets.wheel]")[1]
    assert copied == set(json.loads(re.findall(r"packages = (\[.*\])", listed)[0]))
    ignored = (TOP / ".dockerignore").read_text()
    for name in (*copied, "pyproject.toml", "README.md", "LICENSE"):
        assert f"!{name}\n" in ignored


def test_nothing_runs_as_root() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.M) == ["10001"]
    assert DOCKERFILE.index("USER 10001") < DOCKERFILE.index("\nCMD")


def test_the_probe_of_a_container_where_nothing_runs_says_so() -> None:
    probe = [str(Path(sys.executable).with_name("dialer")), "healthcheck"]
    nothing_there = {"CONTROL_PORT": "1", "SERVICE_ROLE": "api"}
    answer = subprocess.run(probe, env=nothing_there, capture_output=True, check=False, timeout=30, text=True)
    assert answer.returncode == 1
    assert "127.0.0.1:1" in answer.stderr


def resolved(environment: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """The composition's own replacement of ${NAME:-default} and ${NAME:?message}."""

    def value(found: re.Match[str]) -> str:
        name, how, default = found.groups()
        return given.get(name) or (default if how == ":-" else "")

    return {
        name: re.sub(r"\$\{([A-Z_]+)(:-|:\?)([^}]*)\}", value, str(text)) for name, text in environment.items()
    }
