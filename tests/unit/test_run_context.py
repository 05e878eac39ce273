"""What a task can learn and tell about itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.errors import BadInput
from sentinel.peer.run.context import NoCurrentTask, current_task
from sentinel.peer.run.progress import Progress, append, latest

ENVIRON = {
    "SENTINEL_TASK_ID": "build-42",
    "SENTINEL_RUN": "2",
    "SENTINEL_ATTEMPT": "3",
    "SENTINEL_FENCING_TOKEN": "7",
    "SENTINEL_IDEMPOTENCY_KEY": "build-42:2",
}


def test_a_task_knows_who_it_is() -> None:
    task = current_task(ENVIRON)
    assert (task.id, task.run, task.attempt, task.fencing_token) == ("build-42", 2, 3, 7)
    assert task.idempotency_key == "build-42:2"


@pytest.mark.parametrize("environ", [{}, {**ENVIRON, "SENTINEL_RUN": "x"}])
def test_outside_of_a_task_the_remedy_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(NoCurrentTask, match="submit the task instead"):
        current_task(environ)


def test_the_latest_progress_counts(tmp_path: Path) -> None:
    task = current_task({**ENVIRON, "SENTINEL_PROGRESS_FILE": str(tmp_path / "progress")})
    task.progress(0.5)
    task.progress("nearly there")
    found = latest(tmp_path / "progress")
    assert found is not None
    assert found.done == "nearly there"


@pytest.mark.parametrize("done", [-0.1, 1.1, float("nan"), "two\nlines", "x" * 501])
def test_progress_out_of_bounds_is_refused(done: float | str) -> None:
    with pytest.raises(BadInput, match="progress"):
        current_task(ENVIRON).progress(done)


def test_progress_never_fails_for_reasons_of_the_machine() -> None:
    current_task(ENVIRON).progress(0.5)
    current_task({**ENVIRON, "SENTINEL_PROGRESS_FILE": "/no/such/folder/p"}).progress(0.5)
    current_task({**ENVIRON, "SENTINEL_PROGRESS_FILE": "/dev/full"}).progress(0.5)


def test_a_progress_file_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    for number in range(1000):
        append(path, "x" * 500, wall=float(number))
    assert path.stat().st_size < 70_000
    assert latest(path) == Progress(at=999.0, done="x" * 500)


def test_a_torn_line_of_progress_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    append(path, 0.5, wall=1.0)
    with path.open("ab") as file:
        file.write(b'garbage\n{"at": 2, "do')
    assert latest(path) == Progress(at=1.0, done=0.5)


def test_a_missing_progress_file_is_no_progress(tmp_path: Path) -> None:
    assert latest(tmp_path / "none") is None
