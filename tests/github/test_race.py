"""Processes with one token race through GitHub's API: exactly one winner for each task (F11)."""

from __future__ import annotations

from tests.github.proxy import Proxy
from tests.github.race import race


def test_of_processes_with_one_token_exactly_one_wins_each_task_f11(proxy: Proxy) -> None:
    result = race(proxy, processes=6, tasks=12, pause=0.5)
    tasks = {f"t{number:03}" for number in range(12)}
    assert result.won == {task: [1] for task in tasks}
    assert result.claimed == dict.fromkeys(tasks, 1)
    assert result.epochs == dict.fromkeys(tasks, 1)
