"""``sentinel cluster``, ``workers capacity`` and ``locks stats`` on a real store."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest

from sentinel.model.task import Ending
from tests.cli.conftest import Place, Run, Worked


def test_a_fleet_without_a_worker_is_down(run: Run) -> None:
    ran = run("cluster", "status", "-o", "json")
    assert (ran.status, ran.json["status"]) == (5, "down")
    assert [condition["code"] for condition in ran.json["conditions"]] == ["no_workers"]


def test_a_fleet_whose_workers_beat_is_healthy(run: Run, worked: Worked) -> None:
    ran = run("cluster", "status")
    assert (ran.status, ran.stdout.splitlines()[0]) == (0, "status:    healthy")
    assert run("cluster", "health").status == 0


def test_a_silent_worker_degrades_it_and_health_names_it(place: Place, worked: Worked) -> None:
    Worked(place, "w2", ttl=1.0)
    assert place.run("cluster", "status").status == 1
    ran = place.run("cluster", "health", "-o", "json")
    assert (ran.status, ran.json["status"]) == (1, "degraded")
    assert [condition["subject"] for condition in ran.json["conditions"]] == ["w2", None]
    assert {row["id"]: row["healthy"] for row in ran.json["workers"]} == {"w1": True, "w2": False}


def test_limits_are_those_of_the_configuration(place: Place, worked: Worked) -> None:
    place.submit("a", "b")
    warned = place.run("cluster", "health", "-o", "json", SENTINEL_ALERTS_QUEUE="1").json
    assert [condition["code"] for condition in warned["conditions"]] == ["queue_backlog"]


@pytest.mark.parametrize("command", ["status", "health"])
def test_a_store_that_is_away_is_down_in_json_too(run: Run, command: str) -> None:
    ran = run("cluster", command, "--store", "/nowhere/fleet.git", "-o", "json")
    assert (ran.status, ran.json["status"]) == (5, "down")
    assert ran.said == ran.json["problem"]


def test_metrics_have_the_fields_of_the_guide(run: Run, place: Place, worked: Worked) -> None:
    place.submit("a", "b")
    worked.claim("a")
    worked.end("a", Ending(cause=None))
    found = run("cluster", "metrics", "-o", "json").json
    assert (found["total_workers"], found["healthy_workers"], found["total_capacity"]) == (1, 1, 1)
    assert (found["utilized_capacity"], found["avg_utilization"]) == (0, 0.0)
    assert (found["tasks"]["queue_length"], found["tasks"]["by_state"]["done"]) == (1, 1)
    assert found["workers"][0].keys() >= {
        *("id", "status", "utilization", "last_heartbeat", "success_rate", "mean_run_seconds"),
        *("tasks_failed", "cpu_percent", "memory_percent", "disk_percent", "connections", "uptime_seconds"),
    }
    lines = run("cluster", "metrics").stdout
    assert "1 pending, 1 done" in lines


def test_the_load_of_each_worker_is_set_against_the_others(place: Place, worked: Worked) -> None:
    Worked(place, "w2")
    place.submit("a")
    worked.claim("a")
    found = place.run("cluster", "load-distribution", "-o", "json").json
    assert [(row["id"], row["load"], row["share"]) for row in found["workers"]] == [
        ("w1", 1.0, 1.0),
        ("w2", 0.0, 0.0),
    ]
    assert (found["mean_load"], found["spread"]) == (0.5, 1.0)
    assert "mean 50%, spread 100%, 0 waiting" in place.run("cluster", "load-distribution").stdout


def test_capacity_counts_free_slots_of_those_that_take_tasks(place: Place, worked: Worked) -> None:
    Worked(place, "w2", ttl=1.0)
    rows = place.run("workers", "capacity", "-o", "json").json
    assert [(row["id"], row["free"]) for row in rows] == [("w1", 1), ("w2", 0)]
    assert "1 of 1 slots free on 1 worker" in place.run("workers", "capacity").stdout


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ([], ["w1", "w2", "w3"]),
        (["--status", "online,busy"], ["w1", "w2"]),
        (["--status", "stale"], ["w3"]),
        (["--free"], ["w2"]),
        (["--region", "eu"], ["w1", "w3"]),
        (["--role", "leader"], ["w2"]),
        (["--region", "eu", "--role", "leader"], []),
        (["--type", "shell"], ["w1", "w2", "w3"]),
        (["--type", "build"], []),
        (["--capability", "gpu"], ["w3"]),
    ],
    ids=" ".join,
)
def test_workers_are_filtered(place: Place, filters: list[str], ids: list[str]) -> None:
    busy = Worked(place, "w1", region="eu")
    Worked(place, "w2", region="us", role="leader")
    Worked(place, "w3", ttl=1.0, region="eu", capabilities=("gpu",))
    place.submit("a")
    busy.claim("a")
    rows = place.run("workers", "list", *filters, "-o", "json").json
    assert [row["id"] for row in rows] == ids


def test_a_status_that_does_not_exist_is_refused_with_the_nearest(run: Run) -> None:
    ran = run("workers", "list", "--status", "onlin")
    assert ran.status == 2
    assert "the nearest is online" in ran.said


def test_lock_statistics_count_who_was_refused(place: Place) -> None:
    place.run("locks", "acquire", "deploy")
    for _ in range(2):
        assert place.run("locks", "acquire", "deploy").status == 4
    found = place.run("locks", "stats", "-o", "json").json
    assert [
        (row["name"], row["acquisitions"], row["conflicts"], row["refused"]) for row in found["locks"]
    ] == [("deploy", 1, 2, 2)]
    assert found["claims"] == {"claimed": 0, "lost": 0, "conflict_rate": None}


def test_one_statistic_of_locks_is_sorted_by_it(place: Place) -> None:
    for name in ("a", "b"):
        place.run("locks", "acquire", name)
    place.run("locks", "acquire", "b")
    lines = place.run("locks", "stats", "--metric=conflicts").stdout.splitlines()
    assert lines[:3] == ["NAME  CONFLICTS", "b     1", "a     0"]


def test_locks_are_counted_by_who_holds_them(place: Place, worked: Worked) -> None:
    place.submit("a")
    worked.claim("a")
    place.run("locks", "acquire", "deploy")
    rows = place.run("locks", "distribution", "-o", "json").json
    assert {row["holder"]: (row["locks"], row["tasks"], row["share"]) for row in rows if row["worker"]} == {
        "w1": (0, 1, 0.5)
    }
    assert [row["names"] for row in rows if not row["worker"]] == [["deploy"]]


def test_events_are_the_audit_of_the_store(place: Place, worked: Worked) -> None:
    place.submit("a")
    worked.claim("a")
    found = place.run("cluster", "events", "-o", "json").json
    assert [event["text"] for event in found[-2:]] == ["submit a (shell)", "claim a epoch 1 by w1"]
    log = subprocess.run(
        ["git", "-C", str(place.store), "log", "-1", "--format=%H", "sentinel/state"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert found[-1]["revision"] == log.stdout.strip()
    only = place.run("cluster", "events", "--kind", "worker", "-o", "json").json
    assert {event["kind"] for event in only} == {"worker"}
    named = place.run("cluster", "events", "--worker", "w1", "-o", "json").json
    assert [event["kind"] for event in named] == ["worker", "task"]


def test_a_kind_of_event_that_does_not_exist_is_refused(run: Run) -> None:
    ran = run("cluster", "events", "--kind", "locks")
    assert (ran.status, "the nearest is lock" in ran.said) == (2, True)


def test_followed_events_are_a_line_each_as_they_come(place: Place) -> None:
    place.submit("a")
    with subprocess.Popen(
        place.argv("cluster", "events", "-f", "-n", "1", "-o", "json"),
        env=place.environ,
        cwd=place.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        try:
            assert json.loads(following.stdout.readline())["text"] == "submit a (shell)"
            place.submit("b")
            assert json.loads(following.stdout.readline())["text"] == "submit b (shell)"
        finally:
            following.kill()


def test_a_piped_board_is_one_plain_frame(run: Run, worked: Worked) -> None:
    ran = run("cluster", "top")
    assert ran.status == 0
    assert ran.stdout.splitlines()[0].startswith("Task Sentinel  ")
    assert "\x1b" not in ran.stdout
    assert any(line.startswith("w1 ") for line in ran.stdout.splitlines())
    assert run("cluster", "top", "-o", "json").json["status"] == "healthy"


def test_a_board_on_a_terminal_fills_it_and_ends_with_q(place: Place, worked: Worked) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        place.argv("cluster", "top"),
        env={**place.environ, "TERM": "xterm"},
        cwd=place.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as board:
        os.close(theirs)
        shown = b""
        try:
            while b"q quit" not in shown:
                shown += os.read(ours, 65_536)
            os.write(ours, b"q")
            with contextlib.suppress(OSError):
                while more := os.read(ours, 65_536):
                    shown += more
            assert board.wait(30) == 0
        finally:
            board.kill()
            os.close(ours)
    assert b"\x1b[?1049h" in shown
    assert b"\x1b[?1049l" in shown
    assert b"workers  1/1 healthy" in shown


def test_a_board_of_a_store_that_is_away_says_so(place: Place) -> None:
    ran = place.process("cluster", "top", "--store", "/nowhere/fleet.git")
    assert (ran.status, "/nowhere/fleet.git" in ran.said) == (5, True)
