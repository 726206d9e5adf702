"""Real PostgreSQL and Valkey, started for one process and gone with it.

`start` is what `dialer up`, `dialer demo` and the tests call. The work is done by a process of its own,
the keeper (`python -m dialer.embedded DIR`), because only another process can stop the servers when the
one that uses them is killed.
"""

from dialer.embedded.client import EmbeddedServers, EmbeddedServersError, find, start

__all__ = ["EmbeddedServers", "EmbeddedServersError", "find", "start"]
