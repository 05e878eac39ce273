"""Single keys from a terminal, without waiting for Enter."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

#: What terminals send for keys that are more than one character.
_SEQUENCES = {b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down"}
_CHARACTERS = {"\r": "enter", "\n": "enter", "\x1b": "escape", "\x7f": "backspace", "\x08": "backspace"}


class Keyboard:
    """Keys that were pressed; none where standard input is no terminal."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def keys(self, timeout: float) -> list[str]:
        """The keys of the next ``timeout`` seconds, as soon as there is one."""
        ready = [] if self._descriptor is None else [self._descriptor]
        if not select.select(ready, [], [], timeout)[0] or self._descriptor is None:
            return []
        data = os.read(self._descriptor, 1024)
        if not data:
            # The terminal is gone.
            return ["q"]
        return list(split(data))


def split(data: bytes) -> Iterator[str]:
    """The keys in what a terminal sent."""
    while data:
        for sequence, name in _SEQUENCES.items():
            if data.startswith(sequence):
                yield name
                data = data[len(sequence) :]
                break
        else:
            if data.startswith(b"\x1b["):
                # Some other key: its sequence ends with a letter or a tilde.
                end = next((n for n, byte in enumerate(data[2:], 2) if 0x40 <= byte <= 0x7E), len(data) - 1)
                data = data[end + 1 :]
                continue
            length = next((n for n in range(1, 5) if _is_whole(data[:n])), 1)
            character = data[:length].decode("utf-8", "replace")
            yield _CHARACTERS.get(character, character)
            data = data[length:]


def _is_whole(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """The keyboard of this process; the terminal is as before when the block ends."""
    if not sys.stdin.isatty():
        yield Keyboard(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
