"""Three workers, 200 tasks, and a ``kill -9`` every three seconds."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sentinel.client import Client
from sentinel.fleet.submission import Submission
from tests.process.fleet import Fleet, alive, environment_of, until
from tests.process.history import History, problems

TASKS = 200
WORKERS = ("w1", "w2", "w3")

#: Leaves a mark at its start and at its end, and a double-forked child that would outlive it by far.
SCRIPT = """
marks=$1; pause=$2
name="$SENTINEL_TASK_ID.$SENTINEL_FENCING_TOKEN"
: > "$marks/$name.start"
(setsid sh -c 'sleep 300' > /dev/null 2>&1 &)
sleep "$pause"
: > "$marks/$name.end"
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, CAMPAIGN=str(tmp_path), SENTINEL_EXECUTION_PASS_ENV="CAMPAIGN")
    yield fleet
    fleet.stop_all()


def test_every_task_is_done_exactly_once_although_workers_are_killed_all_the_time(fleet: Fleet) -> None:
    rng = random.Random(20261122)
    marks = fleet.folder / "marks"
    marks.mkdir()
    with fleet.client() as client:
        submit(client, marks, rng)
        for worker in WORKERS:
            fleet.start(worker, "--max-tasks", "6")
        survivors = kill_until_done(fleet, client, rng)
    assert fleet.fallen() == [], "a worker ended by itself"
    fleet.stop_all()

    assert survivors == []
    history = History(fleet.store)
    versions = history.task_versions()
    assert len(versions) == TASKS
    assert problems(versions) == []
    assert not [process for process in psutil.process_iter() if of_campaign(process, fleet)]
    assert_side_effects_agree(versions, marks)
    assert list(fleet.store.rglob("*.lock")) == []
    assert history.live_incarnations() == []
    assert any(versions[task][-1]["losses"] for task in versions), "no kill hit a running task"


def submit(client: Client, marks: Path, rng: random.Random) -> None:
    client.submit_many(
        [
            Submission(
                type="shell",
                id=f"task-{number:03d}",
                positional=("sh", "-c", SCRIPT, "sh", str(marks), f"{rng.uniform(0.2, 2.0):.2f}"),
            )
            for number in range(TASKS)
        ]
    )


def kill_until_done(fleet: Fleet, client: Client, rng: random.Random) -> list[psutil.Process]:
    """Kill and restart; gives every process of a killed worker that was alive two seconds later."""
    survivors: list[psutil.Process] = []
    doomed: list[tuple[float, list[psutil.Process]]] = []
    deadline = time.monotonic() + 240
    next_kill = time.monotonic() + 3
    while not all(task.ended for task in client.tasks()):
        assert time.monotonic() < deadline, Counter(task.state for task in client.tasks())
        if time.monotonic() >= next_kill:
            next_kill += 3
            assert fleet.fallen() == [], "a worker ended by itself"
            victim = rng.choice(WORKERS)
            tree = fleet.processes_below(victim)
            fleet.kill(victim)
            fleet.start(victim, "--max-tasks", "6")
            doomed.append((time.monotonic() + 2, tree))
        while doomed and doomed[0][0] <= time.monotonic():
            survivors += [process for process in doomed.pop(0)[1] if alive(process)]
        time.sleep(0.1)
    return survivors


def of_campaign(process: psutil.Process, fleet: Fleet) -> bool:
    return alive(process) and environment_of(process).get("CAMPAIGN") == str(fleet.folder)


def assert_side_effects_agree(versions: dict[str, list[dict[str, object]]], marks: Path) -> None:
    started = Counter(mark.name.split(".")[0] for mark in marks.glob("*.start"))
    for task, chain in versions.items():
        final = chain[-1]
        # The attempt whose result was committed ran to its end, under exactly that token.
        assert (marks / f"{task}.{final['epoch']}.end").exists()
        # Nothing ran that was not claimed first, and no token was given out twice.
        assert 1 <= started[task] <= int(str(final["epoch"]))


def test_marks_of_double_forked_children_would_be_found(tmp_path: Path) -> None:
    """The judge itself: a process with the mark in its environment is seen, and seen to be gone."""
    fleet = Fleet(tmp_path, CAMPAIGN=str(tmp_path))
    process = psutil.Popen(["sleep", "60"], env={"CAMPAIGN": str(tmp_path), "PATH": "/usr/bin:/bin"})
    until(lambda: of_campaign(process, fleet), within=5, what="the mark to be seen")
    process.kill()
    process.wait()
    assert not of_campaign(process, fleet)
