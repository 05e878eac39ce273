"""``tasks why``, ``wait``, ``cancel``, ``retry`` and ``logs`` on a real store."""

from __future__ import annotations

import subprocess

from sentinel.model import layout
from sentinel.model.task import Ending
from tests.cli.conftest import Place, Run, Worked


def test_why_gives_one_reason(place: Place) -> None:
    place.submit("a")
    assert place.run("tasks", "why", "a").stdout.startswith("a is pending: no live worker")
    assert place.run("tasks", "why", "a", "-o", "json").json == {
        "id": "a",
        "state": "pending",
        "code": "no_live_worker",
        "reason": "no live worker takes tasks; `sentinel worker start` starts one",
        "until": None,
        "workers": [],
    }


def test_wait_tells_done_from_failed_and_from_in_vain(place: Place, worked: Worked) -> None:
    place.submit("good", "bad", "open")
    for name, cause in (("good", None), ("bad", "error")):
        worked.claim(name)
        worked.end(name, Ending(cause=cause, message="it broke" if cause else None))  # type: ignore[arg-type]  # is one
    assert place.run("tasks", "wait", "good").status == 0
    failed = place.run("tasks", "wait", "good", "bad", "-o", "json")
    assert (failed.status, [row["state"] for row in failed.json]) == (1, ["done", "failed"])
    assert failed.said == "task bad is failed: error: it broke"
    twice = place.run("tasks", "wait", "good", "good", "-o", "json")
    assert [row["id"] for row in twice.json] == ["good"]
    vain = place.run("tasks", "wait", "open", "--timeout", "0.1", "-o", "json")
    assert (vain.status, vain.stdout, "tasks why open" in vain.said) == (124, "", True)


def test_submit_and_wait_in_vain(run: Run) -> None:
    ran = run("tasks", "submit", "shell", "--id", "a", "--wait", "--wait-timeout", "0.1", "--", "true")
    assert (ran.status, ran.stdout) == (124, "a\n")
    assert ran.stderr.splitlines()[0] == "a pending"


def test_submit_and_wait_for_one_that_has_ended_already(place: Place, worked: Worked) -> None:
    place.submit("a", "b")
    for name, cause in (("a", None), ("b", "timeout")):
        worked.claim(name)
        worked.end(name, Ending(cause=cause))  # type: ignore[arg-type]  # is one
    good = place.run("tasks", "submit", "shell", "--id", "a", "--wait", "-o", "json", "--", "true")
    assert (good.status, good.json["state"]) == (0, "done")
    bad = place.run("tasks", "submit", "shell", "--id", "b", "--wait", "-o", "json", "--", "true")
    assert (bad.status, bad.json["state"]) == (1, "failed")


def test_cancel_and_retry(place: Place) -> None:
    place.submit("a")
    assert place.run("tasks", "cancel", "a", "--reason", "wrong branch").stdout == "a is cancelled\n"
    assert place.run("tasks", "show", "a", "-o", "json").json["reason"] == "wrong branch"
    assert place.run("tasks", "retry", "a").stdout == "a waits for run 2\n"
    assert place.run("tasks", "retry", "a").status == 4


def test_cancelling_a_running_task_asks_its_owner(place: Place, worked: Worked) -> None:
    place.submit("a")
    worked.claim("a")
    assert place.run("tasks", "cancel", "a").stdout == "w1 is asked to cancel a\n"


def test_logs_are_printed_byte_for_byte(place: Place, worked: Worked) -> None:
    place.submit("a")
    worked.claim("a")
    worked.end("a", Ending(cause=None), log=b"caf\xc3\xa9 \xff\n")
    ran = subprocess.run(place.argv("tasks", "logs", "a"), env=place.environ, capture_output=True, check=True)
    assert ran.stdout == b"caf\xc3\xa9 \xff\n"
    assert place.run("tasks", "logs", "a", "-o", "json").json == {
        "id": "a",
        "attempt": 1,
        "live": False,
        "bytes": 8,
        "truncated": False,
        "text": "café \ufffd\n",
    }
    assert place.run("tasks", "logs", "a", "-f").stdout.startswith("café")


def test_a_live_log_is_printed_and_followed_to_its_end(place: Place, worked: Worked) -> None:
    place.submit("a")
    worked.claim("a")
    folder = place.store / "sentinel" / "logs" / layout.session_register(worked.incarnation)
    folder.mkdir(parents=True)
    live = folder / f"{layout.run_name('a', 1)}.log"
    live.write_bytes(b"so far\n")
    assert place.run("tasks", "logs", "a").stdout == "so far\n"
    assert place.run("tasks", "logs", "a", "-o", "json").json["live"] is True
    following = subprocess.Popen(
        place.argv("tasks", "logs", "a", "-f"), env=place.environ, stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "so far\n"
    with live.open("ab") as stream:
        stream.write(b"and on\n")
    assert following.stdout.readline() == "and on\n"
    with live.open("ab") as stream:
        stream.write(b"the end\n")
    live.unlink()
    worked.end("a", Ending(cause=None), log=b"so far\nand on\nthe end\n")
    rest, _ = following.communicate(timeout=60)
    assert (rest, following.returncode) == ("the end\n", 0)


def test_a_task_without_a_log_is_not_found_and_says_why(place: Place) -> None:
    place.submit("a")
    ran = place.run("tasks", "logs", "a")
    assert (ran.status, "pending" in ran.said) == (3, True)
