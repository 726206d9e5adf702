"""Where the servers' data and sockets lie, and as which user they run.

PostgreSQL refuses to run as root. A keeper started by root therefore runs both servers as `nobody`, who
must be able to walk to the data. No user is created and no directory above ours is opened for that.
Where the way is closed (a clone under /root), the data goes to a directory of its own under /var/lib
(/var/tmp where there is none), and the file `moved-to` in the directory asked for says which.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path

MOVED_TO = "moved-to"
# Where the data is, and while the servers run: the keeper's pid, theirs, and the directory of their sockets.
STATE_FILE = "keeper.json"
# A unix socket's path must fit into about 100 bytes (104 on macOS); we stay well below.
LONGEST_SOCKET_PATH = 80
SOCKET_NAMES_LENGTH = len("/dialer-12345678/.s.PGSQL.5432.lock")


class Trouble(Exception):
    """The servers cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class ServerUser:
    """Whom the servers run as, when not as the keeper's own user."""

    name: str
    uid: int
    gid: int


def server_user(home: Path) -> ServerUser | None:
    """The user for the servers, or None for the keeper's own (which it is unless that is root).

    Data that already has another owner stays with that owner, so that one `sudo` does not lock its
    ordinary user out for ever after.
    """
    if os.geteuid() != 0:
        return None
    owner = _owner(home / "postgres")
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError as error:
        who = f"user {owner}, who owns {home / 'postgres'}" if owner else "user `nobody`"
        raise Trouble(
            f"PostgreSQL does not run as root, and this machine has no {who}: start it as another user"
        ) from error
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def choose_home(directory: Path) -> Path:
    """The directory that holds the data: `directory`, or the one that stands in for it (see above)."""
    user = server_user(directory)
    if user is None or can_reach(user, [directory]):
        return directory
    pointer = directory / MOVED_TO
    if pointer.exists():
        moved = Path(pointer.read_text().strip())
        if moved.is_dir() and can_reach(user, [moved]):
            return moved
        raise Trouble(f"{pointer} names {moved}, which is gone: remove {pointer} to start with empty servers")
    return _stand_in(directory, user)


def _stand_in(directory: Path, user: ServerUser) -> Path:
    for parent in (Path("/var/lib"), Path("/var/tmp")):  # noqa: S108 - kept over reboots; mkdtemp makes it ours
        if parent.is_dir() and os.access(parent, os.W_OK) and can_reach(user, [parent]):
            home = Path(tempfile.mkdtemp(prefix="dialer-", dir=parent))
            home.chmod(0o711)
            written = directory / (MOVED_TO + ".new")
            written.write_text(f"{home}\n")
            written.replace(directory / MOVED_TO)
            return home
    raise Trouble(
        f"root's servers run as user {user.name}, who cannot enter {directory}: "
        "set DIALER_DATA_DIR to a directory that every user can enter, or start as an ordinary user"
    )


def can_reach(user: ServerUser, paths: list[Path]) -> bool:
    """Whether `user` can enter or run every path: tried in a child as that user, which heeds ACLs too."""
    child = os.fork()
    if child == 0:
        reached = False
        try:
            os.setgroups([])
            os.setgid(user.gid)
            os.setuid(user.uid)
            reached = all(os.access(path, os.R_OK | os.X_OK if path.is_file() else os.X_OK) for path in paths)
        finally:
            os._exit(0 if reached else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def own_directory(path: Path, user: ServerUser | None) -> None:
    """Make `path`, closed to all but the servers' user, unless it is there."""
    path.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(path, user.uid, user.gid)


def make_socket_directory(user: ServerUser | None) -> Path:
    """A new private directory with a short path; the keeper removes it when it stops."""
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it private
        if len(base) + SOCKET_NAMES_LENGTH < LONGEST_SOCKET_PATH and (
            user is None or can_reach(user, [Path(base)])
        ):
            directory = Path(tempfile.mkdtemp(prefix="dialer-", dir=base))
            own_directory(directory, user)
            return directory
    raise Trouble("no temporary directory with a short path that the servers can enter: set TMPDIR=/tmp")


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None
