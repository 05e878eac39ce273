"""What a task leaves passes the redactor before it is stored (B11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sentinel.model.redaction import Redactor
from sentinel.peer.endings import Outcome, outcome_of
from sentinel.peer.run.spec import RunEnd, RunSpec

SECRET = "correct-horse-battery"


def left(folder: Path, *, log: bytes = b"", **result: Any) -> Outcome:
    """What is stored of a run that left this."""
    spec = RunSpec(
        run="r",
        argv=("x",),
        env={},
        cwd="/",
        log_path=str(folder / "log"),
        result_path=str(folder / "result"),
    )
    (folder / "log").write_bytes(log)
    (folder / "result").write_text(json.dumps(result))
    end = RunEnd(run="r", cause="exit", exit_code=0, started_at=0.0, ended_at=1.0, log_bytes=len(log))
    return outcome_of(end, spec, Redactor([SECRET]), started=True)


def test_b11_a_secret_in_the_log_is_not_stored(tmp_path: Path) -> None:
    outcome = left(tmp_path, log=f"token {SECRET}\n".encode(), result=1)
    assert outcome.blobs == (b"token [redacted]\n",)


def test_b11_a_secret_in_the_result_is_not_stored(tmp_path: Path) -> None:
    outcome = left(tmp_path, result={"token": SECRET})
    assert outcome.ending([]).result == {"token": "[redacted]"}


def test_b11_a_secret_in_a_large_result_is_not_stored(tmp_path: Path) -> None:
    outcome = left(tmp_path, result=["x" * 70_000, SECRET])
    assert SECRET.encode() not in outcome.blobs[0]


def test_b11_a_secret_in_a_traceback_is_not_stored(tmp_path: Path) -> None:
    outcome = left(tmp_path, error={"kind": "ValueError", "message": f"bad token {SECRET}"})
    assert outcome.ending([]).message == "ValueError: bad token [redacted]"


@pytest.mark.parametrize("log", [b"plain\n", b"\xff\xfe\n", b"x" * 100_000])
def test_a_log_without_secrets_is_stored_as_it_is(tmp_path: Path, log: bytes) -> None:
    outcome = left(tmp_path, log=log, result=1)
    assert outcome.blobs == (log,)
    assert outcome.ending(["blob"]).log == {"blob": "blob", "bytes": len(log), "truncated": False}
