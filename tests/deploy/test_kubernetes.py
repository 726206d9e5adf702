"""The manifests: they run what exists, probe what answers, give what is required, and are locked up."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import control.__main__
import dialer.__main__
from control.routes import PROBES
from dialer.cli import main
from dialer.cli.stack import CONTROL_STOPS_WITHIN, DAEMON_STOPS_WITHIN
from dialer.config import SECRETS, load
from tests.deploy.reading import KNOWN, TOP

FOLDER = TOP / "deploy" / "kubernetes"
FILES = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("*.example")])
OBJECTS = [(path, one) for path in FILES for one in yaml.safe_load_all(path.read_text())]
RUNNING = ("dialer-control", "dialer", "dialer-migrate")
SERVING = {
    "dialer-control": ("api", control.__main__.REQUIRED, CONTROL_STOPS_WITHIN),
    "dialer": ("worker", dialer.__main__.REQUIRED, DAEMON_STOPS_WITHIN),
}
# Of the pods' filling, where the examples are empty.
FILLED = {
    "DATABASE_URL": "postgresql://h/d",
    "REDIS_URL": "redis://h",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "x",
    "DIALER_ADMIN_TOKEN": "x",
}
PROBE_KINDS = ("startupProbe", "readinessProbe", "livenessProbe")


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for _, one in OBJECTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return dict(found)


def pod_template(name: str) -> dict[str, Any]:
    template: dict[str, Any] = named("Job" if name == "dialer-migrate" else "Deployment", name)["spec"]["template"]
    return template


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = pod_template(name)["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    [only] = pod(name)["containers"]
    return dict(only)


def environment(name: str) -> dict[str, str]:
    """What a pod's process finds, as Kubernetes puts it together."""
    found: dict[str, str] = {}
    for source in container(name)["envFrom"]:
        if "configMapRef" in source:
            found |= named("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            found |= named("Secret", source["secretRef"]["name"])["stringData"]
    return found | {one["name"]: one["value"] for one in container(name).get("env", [])}


def probes(name: str) -> Iterator[dict[str, Any]]:
    return (container(name)[kind] for kind in PROBE_KINDS if kind in container(name))


def commands(name: str) -> Iterator[list[str]]:
    yield container(name)["command"]
    yield from (probe["exec"]["command"] for probe in probes(name) if "exec" in probe)


@pytest.mark.parametrize("name", RUNNING)
def test_every_command_and_option_exists(name: str) -> None:
    for program, word, *options in commands(name):
        assert program == "dialer"
        known = {option for parameter in main.commands[word].params for option in parameter.opts}
        assert set(options) <= known


@pytest.mark.parametrize("name", RUNNING)
def test_every_variable_is_a_setting(name: str) -> None:
    given = environment(name)
    assert set(given) <= KNOWN
    assert all(isinstance(value, str) for value in given.values()), "Kubernetes takes text only"
    # Otherwise a Service of that name would set CONTROL_PORT=tcp://…
    assert pod(name)["enableServiceLinks"] is False


@pytest.mark.parametrize("name", SERVING)
def test_once_filled_in_a_pod_finds_all_that_it_requires(name: str) -> None:
    role, required, _ = SERVING[name]
    given = environment(name)
    settings = load({key: value or FILLED.get(key, "") for key, value in given.items()}, require=required)
    assert settings.service_role == role
    assert ("DIALER_ADMIN_TOKEN" in given) == (name == "dialer-control"), "the daemon needs none"
    assert settings.recordings_url is not None, "the pods share no folder"


def test_no_secret_is_written_down() -> None:
    for path, one in OBJECTS:
        if one["kind"] == "Secret":
            # Not applied by accident, with the folder.
            assert path.suffix == ".example"
            assert set(one["stringData"].values()) == {""}
        elif one["kind"] == "ConfigMap":
            assert not set(one["data"]) & set(SECRETS)


def test_every_probe_over_http_asks_a_path_that_answers_on_the_port_that_is_open() -> None:
    [port] = container("dialer-control")["ports"]
    assert port["containerPort"] == load({}).control_port
    paths = {}
    for kind in PROBE_KINDS:
        asked = container("dialer-control")[kind]["httpGet"]
        assert asked["port"] == port["name"]
        paths[kind] = asked["path"]
    assert set(paths.values()) <= set(dict(PROBES))
    # A Redis that is away must not take every control out of service, nor kill it.
    assert (paths["readinessProbe"], paths["livenessProbe"]) == ("/livez", "/livez")
    [served] = named("Service", "dialer-control")["spec"]["ports"]
    assert served["targetPort"] == port["name"]


def test_a_daemon_is_probed_by_its_beats() -> None:
    """Each probe is a process that needs a second or more: not often, and with time to answer."""
    for probe in probes("dialer"):
        assert probe["exec"]["command"][:2] == ["dialer", "healthcheck"]
        assert probe["timeoutSeconds"] >= 10
        assert probe["periodSeconds"] >= probe["timeoutSeconds"]
    assert "--ready" not in container("dialer")["livenessProbe"]["exec"]["command"], "Postgres away kills nobody"


@pytest.mark.parametrize("name", SERVING)
def test_a_stop_gives_more_time_than_it_takes(name: str) -> None:
    pause = container(name).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    assert pause[0] == "sleep"
    assert pod(name)["terminationGracePeriodSeconds"] > float(pause[1]) + SERVING[name][2]


@pytest.mark.parametrize("name", RUNNING)
def test_it_is_locked_up_as_the_images_user(name: str) -> None:
    of_pod, of_container = pod(name)["securityContext"], container(name)["securityContext"]
    [user] = [line.split()[1] for line in (TOP / "Dockerfile").read_text().splitlines() if line.startswith("USER")]
    assert (of_pod["runAsNonRoot"], of_pod["runAsUser"]) == (True, int(user))
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container["readOnlyRootFilesystem"] is True
    assert of_container["allowPrivilegeEscalation"] is False
    assert of_container["capabilities"] == {"drop": ["ALL"]}
    assert pod(name)["automountServiceAccountToken"] is False
    mounted = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
    assert mounted == {"data": "/var/lib/dialer", "tmp": "/tmp"}
    assert {volume["name"] for volume in pod(name)["volumes"]} == set(mounted)
    assert "memory" in container(name)["resources"]["limits"]


@pytest.mark.parametrize("name", SERVING)
def test_selectors_find_their_pods(name: str) -> None:
    labels = pod_template(name)["metadata"]["labels"]
    assert named("Deployment", name)["spec"]["selector"]["matchLabels"] == labels
    assert named("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
    [spread] = pod(name)["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    if name == "dialer-control":
        assert named("Service", name)["spec"]["selector"] == labels


@pytest.mark.parametrize("name", RUNNING)
def test_the_image_is_of_this_version(name: str) -> None:
    version = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
    assert container(name)["image"] == f"dialer:{version}"
