"""Unpacks programs from Debian's packages into a folder: without root, and as well as the machine allows.

`python -m tests.tools.fetch FOLDER STAMP` touches STAMP when nothing is missing. Where it cannot be done it says so
in one line and ends well: the tests that need such a program skip. Only what does not run here yet is fetched, so
that a repetition costs nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import tools

PACKAGE_OF = {"promtool": "prometheus", "pgbouncer": "pgbouncer", "systemd-analyze": "systemd", "nginx": "nginx"}
LIMIT_SECONDS = 150.0


class Unavailable(Exception):
    """The packages cannot be had on this machine, for the reason that it names."""


def main(folder: Path, stamp: Path) -> None:
    """Fetch what is missing, and touch the stamp; without it the next `make` tries again."""
    wanted = [package for program, package in PACKAGE_OF.items() if tools.find(program) is None]
    try:
        if wanted:
            _fetch(wanted, folder, time.monotonic() + LIMIT_SECONDS)
        stamp.touch()
    except (Unavailable, OSError) as reason:
        print(f"tools: {', '.join(wanted)} cannot be had ({reason}); tests that need them skip", file=sys.stderr)


def _fetch(packages: list[str], folder: Path, deadline: float) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Unavailable("this is no Debian")
    print(f"fetching {', '.join(packages)} into {folder} (once) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="dialer-tools-") as name:
        apt = _Apt(Path(name), deadline)
        if not apt.knows(packages):
            apt.update()
        for archive in apt.download([*packages, *apt.libraries(packages)]):
            apt.run("dpkg", "-x", str(archive), str(folder))


class _Apt:
    """The package tools, with all that they write kept in a temporary folder."""

    def __init__(self, folder: Path, deadline: float) -> None:
        # Root's apt downloads as another user, who must get in.
        folder.chmod(0o755)
        self._archives = folder / "archives"
        self._archives.mkdir()
        self._deadline = deadline
        for own in ("lists/partial", "cache/archives/partial"):
            (folder / own).mkdir(parents=True)
        self._own_lists = [f"-o=Dir::State::lists={folder}/lists", f"-o=Dir::Cache={folder}/cache"]
        self._options = ["-q", "-o=Debug::NoLocking=1", "-o=Acquire::Retries=1", "-o=Acquire::http::Timeout=20"]
        self._options.append("-o=APT::Sandbox::User=")

    def knows(self, packages: list[str]) -> bool:
        """Whether the machine's lists name them. In most containers they were removed."""
        try:
            shown = self.run("apt-cache", "show", "--no-all-versions", *packages)
        except Unavailable:
            return False
        return all(f"Package: {package}\n" in shown for package in packages)

    def update(self) -> None:
        """Read the lists anew, into the temporary folder: needs no right on the machine."""
        self._options += self._own_lists
        self.run("apt-get", *self._options, "update")

    def libraries(self, packages: list[str]) -> list[str]:
        """The libraries they need that the machine has not, or not new enough."""
        plan = self.run("apt-get", *self._options, "-s", "--no-install-recommends", "install", *packages)
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        return [name for name in names if name.startswith("lib") and not name.startswith(("libjs-", "libc6"))]

    def download(self, packages: list[str]) -> list[Path]:
        self.run("apt-get", *self._options, "download", *packages, cwd=self._archives)
        return sorted(self._archives.glob("*.deb"))

    def run(self, *command: str, cwd: Path | None = None) -> str:
        left = max(1.0, self._deadline - time.monotonic())
        try:
            ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[0]} took too long") from None
        if ran.returncode:
            said = (ran.stderr.strip() or ran.stdout.strip() or "no reason given").splitlines()
            raise Unavailable(f"{command[0]}: {said[-1]}")
        return ran.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
