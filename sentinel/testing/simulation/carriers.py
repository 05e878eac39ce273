"""What carries the actors of a simulation: greenlets where `greenlet` is installed, threads where it is not.

Only the holder of the baton runs, and the baton alone says who that is, so both give the same history. A
thread that hands over has to be put to sleep, and the other one has to be woken by the kernel, behind
whatever else the machine has to do; a greenlet just goes on. Nobody needs a compiled package for a short
test, so threads do as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from greenlet import greenlet

#: Bytes of a simulated thread's stack.
_STACK = 512 * 1024


class Strand(Protocol):
    """One line of execution, which stands still unless it was switched to."""

    def give_way(self, to: Strand) -> None:
        """Called by the one that runs: let ``to`` run, and come back when somebody switches back."""


#: What a new strand does; it gives the strand that is to run when it has ended.
Body = Callable[[], Strand]


class Carrier(Protocol):
    """Makes the strands of one baton."""

    def main(self) -> Strand:
        """The caller, as a strand."""

    def strand(self, name: str, body: Body) -> Strand:
        """A new strand, which begins when it is switched to."""


class _Thread:
    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()

    def give_way(self, to: Strand) -> None:
        assert isinstance(to, _Thread)
        to.gate.release()
        self.gate.acquire()


class Threads:
    """Each strand is a thread that sleeps on a lock of its own."""

    def main(self) -> Strand:
        return _Thread()

    def strand(self, name: str, body: Body) -> Strand:
        strand = _Thread()

        def run() -> None:
            strand.gate.acquire()
            successor = body()
            assert isinstance(successor, _Thread)
            successor.gate.release()

        before = threading.stack_size(_STACK)
        threading.Thread(target=run, name=name, daemon=True).start()
        threading.stack_size(before)
        return strand


class _Greenlet:
    def __init__(self, carried: greenlet) -> None:
        self.carried = carried

    def give_way(self, to: Strand) -> None:
        while to is not self:
            assert isinstance(to, _Greenlet)
            # One that ends comes out in the main strand, which then sees to it that its successor runs.
            successor: Strand | None = to.carried.switch(None)
            if successor is None:
                return
            to = successor


class Greenlets:
    """All strands share the caller's thread."""

    def __init__(self) -> None:
        from greenlet import getcurrent, greenlet

        self._new = greenlet
        self._main = _Greenlet(getcurrent())

    def main(self) -> Strand:
        return self._main

    def strand(self, name: str, body: Body) -> Strand:  # noqa: ARG002 - only threads have names
        return _Greenlet(self._new(lambda _: body(), self._main.carried))


def best_carrier() -> Carrier:
    """Greenlets if they can be had."""
    return Greenlets() if find_spec("greenlet") is not None else Threads()
