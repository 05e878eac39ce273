"""What every contestant's driver does: ``python driver.py MODULE`` obeys orders on its standard input.

It answers each with a line of JSON, for the `Side` of the module.

Standard library only, for it runs in the peers' environment, too.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol


class Side(Protocol):
    """One task queue, as a program that uses it sees it."""

    def fill(self, count: int) -> None:
        """Hand in so many tasks that do nothing, as the queue's own guide would."""

    def done(self) -> int:
        """How many of all tasks have a recorded result."""

    def once(self) -> None:
        """Hand in one task and wait for its result."""

    def slow(self, path: str, seconds: float) -> None:
        """Hand in a task that notes its start in a file and then sleeps."""


def note_start(path: str) -> None:
    """What a slow task does first."""
    with Path(path).open("a") as file:
        file.write(f"{time.time()}\n")


def serve(side: Side) -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        word, *rest = line.split()
        began = time.perf_counter()
        answer: Any = None
        if word == "fill":
            side.fill(int(rest[0]))
        elif word == "done":
            answer = side.done()
        elif word == "once":
            side.once()
        elif word == "slow":
            side.slow(rest[0], float(rest[1]))
        print(json.dumps({"answer": answer, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    serve(importlib.import_module(sys.argv[1]).Side())
