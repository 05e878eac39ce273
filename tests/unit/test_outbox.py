"""Writing to a pipe whose reader takes its time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sentinel.peer.outbox import Outbox


@pytest.fixture
def ends() -> Iterator[tuple[int, Outbox]]:
    """The reading end of a pipe, and an outbox on the other."""
    reading, writing = os.pipe()
    yield reading, Outbox(os.fdopen(writing, "wb"))
    os.close(reading)


def everything(reading: int) -> bytes:
    return b"".join(iter(lambda: os.read(reading, 1 << 16), b""))


def test_more_than_the_pipe_holds_arrives_in_order(ends: tuple[int, Outbox]) -> None:
    reading, outbox = ends
    pieces = [bytes([number]) * 300_000 for number in range(10)]
    for piece in pieces:
        outbox.put(piece)
    outbox.close()
    assert everything(reading) == b"".join(pieces)


def test_what_is_put_after_closing_is_not_written(ends: tuple[int, Outbox]) -> None:
    reading, outbox = ends
    outbox.put(b"before")
    outbox.close()
    outbox.put(b"after")
    assert everything(reading) == b"before"


def test_a_reader_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    outbox = Outbox(os.fdopen(writing, "wb"))
    os.close(reading)
    outbox.put(b"to nobody")
    outbox.close()
