"""What a type checker tells a user of the public names. `test_wheel.py` judges it against the built wheel.

An ignore in here is a mistake that must be reported: strict checking complains about one that is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_type

import sentinel


@sentinel.task("word-count", timeout=60, retries=2)
def word_count(path: str, *, deep: bool = False) -> dict[str, int]:
    return {path: int(deep)}


@sentinel.task("fetch")
async def fetch(url: str) -> bytes:
    return url.encode()


def the_decorator_keeps_the_signature() -> None:
    assert_type(word_count("docs", deep=True), dict[str, int])
    word_count(1)  # type: ignore[arg-type]  # the mistake: path is a text
    word_count("docs", depth=3)  # type: ignore[call-arg]  # the mistake: no such parameter


async def an_async_function_stays_one() -> None:
    assert_type(await fetch("docs"), bytes)


@sentinel.task("late", timeout="soon")  # type: ignore[arg-type]  # the mistake: seconds are a number
def late() -> None: ...


def inside_a_task() -> None:
    current = sentinel.current_task()
    assert_type(current, sentinel.CurrentTask)
    assert_type(current.cancelled(), bool)
    current.progress(0.5)
    assert_type(current.id, str)
    assert_type(current.attempt, int)
    assert_type(current.fencing_token, int)
    assert_type(current.idempotency_key, str)


def shared_memory(client: sentinel.Client) -> Any:
    entry = client.memory.entry("counter", "totals")
    if entry is not None:
        assert_type(entry.version, str)
        assert_type(client.memory.compare_and_swap("counter", entry.version, 1).ttl, float)
    assert_type(sentinel.memory.delete("counter"), bool)
    for change in sentinel.memory.watch("counter"):
        assert_type(change.key, str)
        break
    sentinel.memory.set("counter", 1, ttl="soon")  # type: ignore[arg-type]  # the mistake: seconds are a number
    return sentinel.memory.update("counter", lambda value: value + 1, default=0).value


def handing_in_work(client: sentinel.Client) -> Any:
    task = client.submit("word-count", {"path": "docs"})
    assert_type(task.id, str)
    client.submit(17)  # type: ignore[arg-type]  # the mistake: a type is a text
    try:
        return client.result(task.id, timeout=5)
    except sentinel.TaskFailed as error:
        assert_type(error.exit_status, int)
        raise


def errors_are_one_tree() -> None:
    problems: Sequence[str] = sentinel.ConfigurationError(["a", "b"]).problems
    statuses: Mapping[type[sentinel.SentinelError], int] = {
        sentinel.BadInput: sentinel.BadInput.exit_status,
        sentinel.LockHeld: sentinel.Conflict.exit_status,
        sentinel.Unavailable: sentinel.StoreError.exit_status,
    }
    print(problems, statuses)
