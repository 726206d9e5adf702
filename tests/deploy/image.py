"""Builds the image's file tree without Docker: each instruction of the Dockerfile is done below a folder.

What differs from a build by Docker: absolute paths are below that folder; `python` and `pip` are those of the tests;
what `pip install` would fetch is linked from the tests' own environment, just the distributions that the project
requires and no other (their versions are compared with what is required), which takes a second instead of forty.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

from tests.deploy.reading import TOP

USER = 10001
WITHIN_SECONDS = 120
_ABSOLUTE = re.compile(r"(?<![\w./-])(/(?:opt|src|var)\b)")
# No fetching: neither what is required (see above) nor what builds.
_OFFLINE = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "false", "PIP_NO_INDEX": "1"}


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str
    stage: int


def instructions() -> Iterator[Instruction]:
    text = re.sub(r"^#.*\n", "", (TOP / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    stage = -1
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        yield Instruction(word, rest.strip(), stage)


@dataclass
class Image:
    """The tree below `root`, and what the last stage says of it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path = Path("/")
    ran: list[str] = field(default_factory=list)

    def build(self) -> None:
        """Every instruction but those that make users, which need root: see `useradd`."""
        for one in instructions():
            match one.word:
                case "WORKDIR":
                    self.directory = self._below(one.rest)
                    self.directory.mkdir(parents=True, exist_ok=True)
                case "COPY" if not one.rest.startswith("--from"):
                    self._copy(*shlex.split(one.rest))
                case "RUN" if not one.rest.startswith("useradd"):
                    self._run(one.rest)
                case "ENV":
                    self._set(one.rest)
        self._link_what_it_requires()

    def command(self, *words: str) -> list[str]:
        """These words with the program that the image's PATH leads to."""
        program = shutil.which(words[0], path=self.environment["PATH"])
        assert program is not None, words
        return [program, *words[1:]]

    def _run(self, command: str) -> None:
        tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(self.root)}
        builds = self.root / "builds"
        builds.mkdir(exist_ok=True)
        link(required(Requirement("hatchling")).values(), builds)
        subprocess.run(
            ["/bin/sh", "-c", _ABSOLUTE.sub(rf"{self.root}\1", command)],
            cwd=self.directory,
            env={**tools, **_OFFLINE, "PYTHONPATH": str(builds)},
            check=True,
            capture_output=True,
            timeout=WITHIN_SECONDS,
        )
        self.ran.append(command)

    def _link_what_it_requires(self) -> None:
        """Of what was installed, as it says itself, and with the extras with which it was."""
        [ours] = distributions(path=[str(self.packages)])
        [extras] = re.findall(r"'\.\[([\w,]+)\]'", self.ran[-1])
        link(required_by(ours, set(extras.split(",")), {}).values(), self.packages)

    def _copy(self, *words: str) -> None:
        *sources, target = words
        for source in sources:
            place = self.directory / target / source if target.endswith("/") else self.directory / target
            if (TOP / source).is_dir():
                shutil.copytree(TOP / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(TOP / source, place)

    def _set(self, pairs: str) -> None:
        self.environment = {"PATH": "/usr/bin:/bin"}
        for name, _, value in (pair.partition("=") for pair in shlex.split(pairs)):
            self.environment[name] = _ABSOLUTE.sub(rf"{self.root}\1", value).replace("$PATH", "/usr/bin:/bin")

    def _below(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self._below(f"/opt/dialer/lib/{version}/site-packages")


def required(wanted: Requirement, found: dict[str, Distribution] | None = None) -> dict[str, Distribution]:
    """By name and extras, the distributions that it takes, itself too. Asserts that the version of each will do."""
    found = {} if found is None else found
    known = distribution(wanted.name)
    assert wanted.specifier.contains(known.version, prereleases=True), f"{wanted}: {known.version} is installed"
    name = f"{known.name}[{','.join(sorted(wanted.extras))}]"
    if name not in found:
        found[name] = known
        required_by(known, wanted.extras, found)
    return found


def required_by(known: Distribution, extras: set[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """The same of all that this one requires, here and with these extras; not itself."""
    for more in map(Requirement, known.requires or ()):
        if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            required(more, found)
    return found


def link(found: Iterable[Distribution], folder: Path) -> None:
    """Make these importable from the folder."""
    site = Path(sysconfig.get_path("purelib"))
    for one in found:
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(site / top)


def as_ordinary_user(root: Path) -> list[str] | None:
    """What to put before a command so that it runs without root's rights, as the image's user where we may choose.

    Where the tests' Python lies in a folder of root's, a namespace of users takes the rights and leaves the files.
    None: this machine has no way.
    """
    if os.getuid() != 0:
        return []
    switch = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    enclose = ["unshare", "--user", f"--map-user={USER}", f"--map-group={USER}"]
    return next((prefix for prefix in (switch, enclose) if _runs_our_python(prefix, root)), None)


def _runs_our_python(prefix: list[str], root: Path) -> bool:
    # The same one, not another that is found because this cannot be read; and it has no rights of root's.
    look = "import aiohttp, os, sys; os.getuid() and print(sys.base_prefix, sys.version)"
    try:
        asked = subprocess.run(
            [*prefix, root / "opt/dialer/bin/python", "-c", look], capture_output=True, timeout=30, text=True
        )
    except FileNotFoundError:
        return False
    return asked.stdout == f"{sys.base_prefix} {sys.version}\n"
