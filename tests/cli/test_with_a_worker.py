"""The commands together with a real worker: from handing in to the result."""

from __future__ import annotations

import subprocess

from tests.cli.conftest import Place

SHORT = {"SENTINEL_HEARTBEAT_INTERVAL": "1", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "5"}


def test_tasks_are_run_and_their_ends_are_told(place: Place) -> None:
    place.submit("good", argv=["sh", "-c", "echo out; echo err >&2"])
    place.submit("bad", argv=["sh", "-c", "exit 3"])
    with subprocess.Popen(
        place.argv("worker", "start", "--id", "w1", "--burst", "--max-tasks", "2"),
        env={**place.environ, **SHORT},
        cwd=place.folder,
        stderr=subprocess.DEVNULL,
    ) as worker:
        waited = place.process("tasks", "wait", "good", "bad", "--timeout", "50", "-o", "json")
        assert worker.wait(timeout=60) == 0
    assert waited.status == 1
    good, bad = waited.json
    assert (good["state"], good["owner"], good["exit_code"]) == ("done", "w1", 0)
    assert (bad["state"], bad["error"]["kind"], bad["exit_code"]) == ("failed", "error", 3)
    assert sorted(place.process("tasks", "logs", "good").stdout.split()) == ["err", "out"]
    assert place.run("tasks", "why", "bad", "-o", "json").json["code"] == "ended"
    assert place.run("workers", "show", "w1", "-o", "json").json["status"] == "offline"
    assert place.run("healthcheck", "--worker", "w1").status == 1
    assert place.run("workers", "remove", "w1").status == 0
