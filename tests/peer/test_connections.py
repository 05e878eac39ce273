"""How many network connections a worker has: its own, and those of what runs below it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sentinel.peer.connections import connections


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_established_connections_count_and_what_listens_does_not(listener: socket.socket) -> None:
    before = connections(os.getpid())
    with socket.create_connection(listener.getsockname()) as here:
        there, _ = listener.accept()
        with there:
            assert connections(os.getpid()) == before + 2
        here.recv(1)
    assert connections(os.getpid()) == before


def test_the_connections_of_tasks_count(listener: socket.socket) -> None:
    before = connections(os.getpid())
    host, port = listener.getsockname()
    code = f"import socket, sys; s = socket.create_connection(({host!r}, {port})); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as task:
        there, _ = listener.accept()
        with there:
            assert connections(os.getpid()) == before + 2
        assert task.stdin is not None
        task.stdin.close()


def test_a_process_that_is_gone_has_none() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
        assert connections(gone.pid) == 0
