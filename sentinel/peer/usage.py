"""How much a process tree uses, looked at as seldom as its limits allow. Part of the reaper process."""

from __future__ import annotations

import os

from sentinel.clock import Clock
from sentinel.peer.processes import below, table
from sentinel.peer.run.spec import RunCause, RunSpec

#: Seconds between two looks at memory, which can grow by a gigabyte meanwhile; longer where a look is dear.
_INTERVAL = 0.1
#: Seconds between two looks at the number of processes.
_SLOW_INTERVAL = 0.25
#: Looking must not cost more than this share of a core: with many processes on the machine it gets rarer.
_SHARE = 0.05


class Usage:
    """Compares the tree below this process with the memory and process limits of ``spec``."""

    def __init__(self, spec: RunSpec, clock: Clock) -> None:
        self._memory = spec.memory_limit
        self._processes = spec.process_limit
        self._clock = clock
        self._interval = _SLOW_INTERVAL if spec.memory_limit is None else _INTERVAL
        self._pause = self._interval
        self._baseline = _threads_on_machine()

    @property
    def pause(self) -> float | None:
        """Seconds until the next `breach` is worth asking for; None without limits."""
        return self._pause if self._memory is not None or self._processes is not None else None

    def breach(self) -> tuple[RunCause, str] | None:
        """The limit that the tree is over now, as cause and message; None when it keeps to all of them."""
        if self._memory is None and not self._many_more_threads():
            return None
        began = self._clock.now()
        tree = below((os.getpid(),), table())
        self._pause = max(self._interval, (self._clock.now() - began) / _SHARE)
        if self._processes is not None and len(tree) > self._processes:
            return "error", f"it had {len(tree)} processes at once, more than its limit of {self._processes}"
        if self._memory is None:
            return None
        held = sum(process.resident for process in tree)
        if held <= self._memory:
            return None
        return "memory", (
            f"its {len(tree)} processes held {_megabytes(held)} of memory, "
            f"more than the limit of {_megabytes(self._memory)}"
        )

    def _many_more_threads(self) -> bool:
        # One short file tells whether the machine as a whole gained enough threads to make a walk through
        # all of /proc worth while; a task that does not fork is thus watched for next to nothing.
        if self._processes is None:
            return False
        threads = _threads_on_machine()
        self._baseline = min(self._baseline, threads)
        return threads - self._baseline > self._processes // 2


def _threads_on_machine() -> int:
    with open("/proc/loadavg", "rb") as file:  # noqa: PTH123 - pathlib would cost the supervisor memory
        return int(file.read().split()[3].partition(b"/")[2])


def _megabytes(count: int) -> str:
    return f"{count / 1_048_576:.0f} MiB"
