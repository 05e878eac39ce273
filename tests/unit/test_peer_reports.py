"""What running attempts say about their progress, on its way into a beat and out of it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from sentinel.model.progress import MAX_REPORT, MAX_REPORTS, Report, load_reports
from sentinel.model.redaction import MASK, Redactor
from sentinel.model.worker import Session
from sentinel.peer.reports import Attempt, reports_of
from sentinel.peer.run.progress import append

WALL = 1_795_000_000.0
SESSION = Session(incarnation="01m8", worker="w1", seq=1, interval=2.0, ttl=10.0, sent_at="")


def told(path: Path, *said: float | str, redactor: Redactor | None = None) -> tuple[Report, ...]:
    for number, done in enumerate(said):
        append(path, done, wall=WALL + number)
    return reports_of([Attempt("build", 3, str(path))], redactor or Redactor())


def test_the_latest_report_of_an_attempt_is_told(tmp_path: Path) -> None:
    (report,) = told(tmp_path / "p", 0.1, "linking")
    assert (report.task, report.epoch, report.done) == ("build", 3, "linking")


def test_an_attempt_that_said_nothing_is_left_out(tmp_path: Path) -> None:
    assert told(tmp_path / "p") == ()


def test_a_secret_stays_on_the_machine_b11(tmp_path: Path) -> None:
    (report,) = told(tmp_path / "p", "with correct-horse", redactor=Redactor(["correct-horse"]))
    assert report.done == f"with {MASK}"


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    (report,) = told(tmp_path / "p", "x" * 500)
    assert len(str(report.done)) == MAX_REPORT


def test_of_too_many_attempts_the_newest_reports_are_told(tmp_path: Path) -> None:
    attempts = []
    for number in range(MAX_REPORTS + 5):
        append(tmp_path / str(number), 0.5, wall=WALL + number)
        attempts.append(Attempt(f"build-{number}", 1, str(tmp_path / str(number))))
    found = reports_of(attempts, Redactor())
    assert [report.task for report in found[:2]] == [f"build-{MAX_REPORTS + 4}", f"build-{MAX_REPORTS + 3}"]
    assert len(found) == MAX_REPORTS


def test_a_pipe_in_the_place_of_the_file_keeps_no_beat(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    assert told(tmp_path / "p") == ()


@pytest.mark.parametrize(
    "line", ['{"at": 1e300, "done": 0.5}', '{"at": 1, "done": 7}', '{"at": 1, "done": NaN}', "[" * 4000]
)
def test_what_did_not_come_by_progress_is_left_out(tmp_path: Path, line: str) -> None:
    (tmp_path / "p").write_text(f"{line}\n")
    assert told(tmp_path / "p") == ()


def test_a_beat_is_read_as_it_was_written() -> None:
    report = Report(task="build", epoch=3, done=0.5, at="2026-11-26T00:00:00Z")
    beat = dataclasses.replace(SESSION, progress=(report,))
    assert Session.load("x", beat.document()) == beat


@pytest.mark.parametrize("raw", [None, "x", [7], [{}], [{"task": "a", "epoch": True, "done": 1, "at": ""}]])
def test_progress_that_cannot_be_read_does_not_spoil_a_beat(raw: Any) -> None:
    assert load_reports(raw) == ()
    assert Session.load("x", {**SESSION.document(), "progress": raw}) == SESSION
