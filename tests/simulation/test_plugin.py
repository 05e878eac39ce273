"""The fixture for users' own tests: real workers, their functions in this process, and no waiting."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentinel
from sentinel.errors import NotFound, TaskFailed
from sentinel.peer.run import registered as registry
from sentinel.testing.simulated_fleet import SimulatedFleet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedFleet]:
    monkeypatch.setattr(registry, "_registry", {})

    @sentinel.task("add", retries=1)
    def add(a: int, b: int) -> int:
        return a + b

    @sentinel.task("who")
    def who() -> dict[str, object]:
        me = sentinel.current_task()
        return {"id": me.id, "attempt": me.attempt, "token": me.fencing_token}

    @sentinel.task("fail")
    def fail() -> None:
        raise LookupError("no such thing")

    @sentinel.task("later")
    async def later() -> str:
        return "now"

    @sentinel.task("count", retries=5)
    def count(name: str) -> int:
        value: int = sentinel.memory.update(name, lambda value: value + 1, default=0).value
        return value

    @sentinel.task("queue")
    def queue() -> list[object]:
        sentinel.memory.set("queued", sentinel.current_task().id, behind=True)
        return [sentinel.memory.watch("queued").next(0), sentinel.memory.get("queued")]

    fleet = SimulatedFleet(tmp_path)
    yield fleet
    fleet.close()


def test_a_function_runs_in_this_process_and_its_result_comes_back(fleet: SimulatedFleet) -> None:
    task = fleet.client.submit("add", {"a": 2, "b": 3})
    assert fleet.client.result(task.id) == 5


def test_a_function_knows_its_task(fleet: SimulatedFleet) -> None:
    task = fleet.client.submit("who")
    assert fleet.client.result(task.id) == {"id": task.id, "attempt": 1, "token": 1}


def test_an_async_function_is_run_to_its_end(fleet: SimulatedFleet) -> None:
    assert fleet.client.result(fleet.client.submit("later").id) == "now"


def test_an_exception_is_the_tasks_error(fleet: SimulatedFleet) -> None:
    task = fleet.client.submit("fail")
    with pytest.raises(TaskFailed, match="LookupError: no such thing"):
        fleet.client.result(task.id)


def test_a_killed_workers_task_is_done_by_another(fleet: SimulatedFleet) -> None:
    fleet.takes("add", 60.0)
    task = fleet.client.submit("add", {"a": 2, "b": 3})
    fleet.advance(5.0)
    killed = fleet.kill_worker()
    assert fleet.client.result(task.id) == 5
    assert fleet.client.get(task.id).owner != killed
    assert fleet.executions_of(task.id) == 2


def test_a_worker_that_is_cut_off_for_too_long_loses_its_task(fleet: SimulatedFleet) -> None:
    fleet.takes("add", 60.0)
    task = fleet.client.submit("add", {"a": 2, "b": 3})
    fleet.advance(5.0)
    owner = fleet.client.get(task.id).owner
    assert owner is not None
    fleet.partition(owner)
    fleet.advance(20.0)
    assert fleet.client.get(task.id).owner != owner
    fleet.heal(owner)
    assert fleet.client.result(task.id) == 5


def test_a_short_partition_changes_nothing(fleet: SimulatedFleet) -> None:
    fleet.takes("add", 30.0)
    task = fleet.client.submit("add", {"a": 2, "b": 3})
    fleet.advance(5.0)
    owner = fleet.client.get(task.id).owner
    assert owner is not None
    fleet.partition(owner, 3.0)
    assert fleet.client.result(task.id) == 5
    assert fleet.executions_of(task.id) == 1
    assert fleet.client.get(task.id).owner == owner


def test_a_paused_worker_comes_back_as_a_new_incarnation(fleet: SimulatedFleet) -> None:
    fleet.takes("add", 60.0)
    task = fleet.client.submit("add", {"a": 2, "b": 3})
    fleet.advance(5.0)
    owner = fleet.client.get(task.id).owner
    assert owner is not None
    before = fleet.client.view().workers[owner].incarnation
    fleet.pause_worker(owner, 30.0)
    fleet.advance(45.0)
    assert fleet.client.view().workers[owner].incarnation != before


def test_a_killed_worker_can_be_started_again(fleet: SimulatedFleet) -> None:
    fleet.kill_worker("worker-2")
    assert fleet.workers == ["worker-1", "worker-3"]
    fleet.start_worker("worker-2")
    assert fleet.workers == ["worker-1", "worker-2", "worker-3"]


def test_tasks_and_the_test_share_a_memory(fleet: SimulatedFleet) -> None:
    for number in range(6):
        fleet.client.submit("count", {"name": "n"}, id=f"t{number}")
    fleet.client.wait([f"t{number}" for number in range(6)])
    assert fleet.client.memory.get("n") == 6


def test_a_task_that_runs_twice_has_counted_twice_and_one_of_them_has_a_result(
    fleet: SimulatedFleet,
) -> None:
    fleet.takes("count", 60.0)
    task = fleet.client.submit("count", {"name": "n"})
    fleet.advance(5.0)
    fleet.kill_worker()
    assert fleet.client.result(task.id) == 2
    assert fleet.client.memory.get("n") == 2


def test_what_a_task_has_queued_is_there_when_it_is_done(fleet: SimulatedFleet) -> None:
    task = fleet.client.submit("queue")
    assert fleet.client.result(task.id) == [None, task.id]
    assert fleet.client.memory.get("queued") == task.id


def test_a_value_expires_in_virtual_time(fleet: SimulatedFleet) -> None:
    fleet.client.memory.set("k", 1, ttl=60.0)
    fleet.advance(55.0)
    assert fleet.client.memory.get("k") == 1
    fleet.advance(20.0)
    assert fleet.client.memory.list() == []


def test_an_unknown_worker_is_named(fleet: SimulatedFleet) -> None:
    with pytest.raises(NotFound, match="worker-9"):
        fleet.kill_worker("worker-9")


def test_a_day_takes_no_time(fleet: SimulatedFleet) -> None:
    fleet.takes("add", 36_00.0)
    task = fleet.client.submit("add", {"a": 2, "b": 3}, timeout=7200)
    assert fleet.client.result(task.id) == 5
    assert fleet.now > 3600


def test_the_documented_example_is_a_test_that_passes(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    assert examples
    (tmp_path / "test_example.py").write_text("\n\n".join(examples), encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
