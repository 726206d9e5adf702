"""A port that is taken before control listens on it: control gets it, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

import pytest

from dialer.cli.failures import Failed
from dialer.cli.ports import TakenPort, free_port

IP_LOCAL_PORT_RANGE = 51  # linux/in.h; Python has no name for it


async def test_a_server_can_listen_on_it_and_again() -> None:
    with TakenPort("127.0.0.1") as taken:
        for _ in range(2):
            server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", taken.number)
            server.close()
            await server.wait_closed()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one keep a port for a server")
def test_nobody_else_is_given_it() -> None:
    with TakenPort("127.0.0.1") as taken, one_who_may_only_have(taken.number) as other:
        assert not can_bind(other)
    with one_who_may_only_have(taken.number) as other:
        assert can_bind(other), "once it is let go"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one keep a port for a server")
def test_nobody_connects_from_it() -> None:
    with TakenPort("127.0.0.1") as taken, one_who_may_only_have(taken.number) as other, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(OSError, match="assign requested address"):
            other.connect(server.getsockname())


def can_bind(other: socket.socket) -> bool:
    try:
        other.bind(("127.0.0.1", 0))
    except OSError:
        return False
    return True


def one_who_may_only_have(port: int) -> socket.socket:
    """A socket for which the whole range of ports is this one."""
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        asking.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", port << 16 | port))
    except OSError:
        asking.close()
        pytest.skip("Linux before 6.3 gives no socket a range of its own")
    return asking


def test_one_that_was_let_go_is_free() -> None:
    assert free_port("127.0.0.1") > 0
    with pytest.raises(Failed, match="nobody can listen on"):
        TakenPort("203.0.113.1")
