"""Clocks, randomness and ids are arguments: only `clock` and `entropy` touch the real ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.source import Source, Violation, aliases, dotted, forbid, python_sources

OWNERS = frozenset({"sentinel/clock.py", "sentinel/entropy.py"})

#: path → why this file may touch them, too. Each entry is a hole in the simulator's view of the world.
EXCEPTIONS: dict[str, str] = {}

_CLOCKS = frozenset(
    f"time.{name}{suffix}"
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
    for suffix in ("", "_ns")
) | {
    "time.sleep",
    "time.localtime",
    "time.gmtime",
    "time.ctime",
    "time.asctime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
_RANDOM = frozenset({"os.urandom", "os.getrandom"})
#: Seeded generators are values like any other, and the type is how they are passed.
_SEEDED = "random.Random"


def violations(source: Source) -> Iterator[Violation]:
    if source.path in OWNERS or source.path in EXCEPTIONS:
        return
    names = aliases(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and not node.args and dotted(node.func, names) == _SEEDED:
            yield source.violation(node, "an unseeded random.Random() is real randomness: pass one in")
        if not isinstance(node, ast.Attribute | ast.Name):
            continue
        name = dotted(node, names) or ""
        if name in _CLOCKS:
            yield source.violation(node, f"{name} outside sentinel/clock.py: pass a Clock in")
        elif name in _RANDOM or name.startswith(("secrets.", "uuid.")) or _unseeded(name):
            yield source.violation(node, f"{name} outside sentinel/entropy.py: pass a random.Random in")


def _unseeded(name: str) -> bool:
    return name.startswith("random.") and name != _SEEDED and not name.startswith(f"{_SEEDED}.")


def test_only_two_modules_touch_real_clocks_and_randomness() -> None:
    forbid([found for source in python_sources("sentinel") for found in violations(source)])


def test_no_exception_outlives_its_file() -> None:
    assert EXCEPTIONS.keys() <= {source.path for source in python_sources("sentinel")}


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic_ns()",
        "from time import sleep as nap\nnap(1)",
        "import time\nfield(default_factory=time.time)",
        "import time\ntime.clock_gettime(7)",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import date\ndate.today()",
        "import random\nrandom.random()",
        "import random\nrandom.Random()",
        "from random import SystemRandom\nSystemRandom()",
        "import os\nos.urandom(8)",
        "import secrets\nsecrets.token_hex()",
        "def f():\n    import uuid\n    return uuid.uuid4()",
    ],
)
def test_a_call_of_the_real_thing_is_found(text: str) -> None:
    assert len(list(violations(Source("sentinel/fleet/x.py", text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import random\ndef f(rng: random.Random) -> None:\n    rng.choice([1])",
        "import random\nrandom.Random(7)",
        "import datetime\ndatetime.datetime.fromisoformat('2026-11-22')",
        "import time\ntime.strftime('%H', moment)",
        "def f(clock):\n    clock.now(), clock.time(), clock.sleep(1)",
    ],
)
def test_an_injected_clock_or_generator_is_not_reported(text: str) -> None:
    forbid(violations(Source("sentinel/fleet/x.py", text)))
