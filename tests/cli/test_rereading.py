"""A running worker reads its configuration again: what it heeds, what it names, what leaves all as it was."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli.context import Invocation
from sentinel.cli.rereading import Rereading
from sentinel.cli.workshop import balancer, workshop
from sentinel.model.lease import LeaseTimes
from sentinel.peer.options import PeerOptions
from tests.cli.conftest import Place

BUILD = {"argv": ["make"]}


class Worker:
    """What `worker start` has made of a configuration, without its daemon."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = place.folder
        for name, value in place.environ.items():
            monkeypatch.setenv(name, value)

    def configure(self, **tree: Any) -> None:
        place = self._folder / "config" / "shared.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(tree), encoding="utf-8")

    def start(self) -> None:
        invocation = Invocation()
        settings = invocation.settings()
        self.rereading = Rereading(invocation, {}, settings, workshop(settings))
        self.options = PeerOptions(
            worker="w",
            times=LeaseTimes(1.0, 5.0),
            max_tasks=1,
            types=frozenset({"shell"}),
            balancer=balancer(settings),
        )

    def hang_up(self) -> None:
        self.options = self.rereading(self.options)


@pytest.fixture
def worker(place: Place, monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(place, monkeypatch)


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


def test_what_can_change_is_in_force_at_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.configure(execution={"graceSeconds": 5}, tasks={"commands": {"build": BUILD}})
    worker.start()
    worker.configure(
        execution={"graceSeconds": 9, "outputLimitBytes": 2048, "passEnv": ["LANG"]},
        tasks={"commands": {"build": {"argv": ["ninja"]}}},
        distributed={
            "loadBalancer": {"strategy": "round_robin", "options": {"startIndex": 3}},
            "heartbeat": {"recoveryEnabled": False},
        },
        log={"level": "warning"},
    )
    worker.hang_up()
    assert (worker.options.stop_grace, worker.options.recovery) == (9.0, False)
    assert worker.options.balancer_options == {"startIndex": 3}
    tasks = worker.rereading.workshop
    assert (tasks.limits.output, tasks.limits.grace, tuple(tasks.pass_env)) == (2048, 9.0, ("LANG",))
    assert tasks.commands["build"].argv({}, ()) == ["ninja"]
    assert logging.getLogger().level == logging.WARNING
    (said,) = [record.message for record in caplog.records]
    assert said.startswith("the configuration was read again; from now on: execution.grace, ")
    assert "tasks.commands.build" in said


def test_what_cannot_change_is_named_and_waits(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.configure(tasks={"commands": {"build": BUILD}})
    worker.start()
    worker.configure(
        tasks={"commands": {"test": BUILD}, "shell": False},
        capacity={"maxConcurrentTasks": 7},
        distributed={"locking": {"ttlSeconds": 60}},
    )
    worker.hang_up()
    assert worker.options.max_tasks == 1
    assert worker.rereading.workshop.commands.keys() == {"build"}
    assert worker.rereading.workshop.shell
    (said,) = [record.message for record in caplog.records]
    assert said == (
        "changed, but only with the next start of this worker: locking.ttl, tasks.commands.build, "
        "tasks.commands.test, tasks.shell, worker.max_tasks"
    )


def test_a_wrong_configuration_changes_nothing_and_every_problem_is_said(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.configure(log={"level": "info"})
    worker.start()
    before = worker.options
    worker.configure(log={"level": "loud"}, execution={"graceSeconds": -1})
    worker.hang_up()
    assert worker.options == before
    said = [record.message for record in caplog.records]
    assert (len(said), said[-1]) == (3, "the configuration stays as it was")


def test_the_same_configuration_is_said_to_be_the_same(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.start()
    worker.hang_up()
    assert [record.message for record in caplog.records] == [
        "the configuration was read again; nothing has changed"
    ]


def until(file: Path, text: str) -> str:
    """What ``file`` holds as soon as ``text`` is in it."""
    found = ""
    for _ in range(600):
        found = file.read_text(encoding="utf-8") if file.exists() else ""
        if text in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{text!r} did not come: {found}")


def test_a_real_worker_reads_again_on_sighup_and_goes_on(place: Place) -> None:
    config = place.folder / "config" / "shared.json"
    config.parent.mkdir()
    config.write_text('{"execution": {"graceSeconds": 5}}', encoding="utf-8")
    log = place.folder / "worker.log"
    with (
        log.open("w") as stream,
        subprocess.Popen(
            place.argv("worker", "start", "--id", "w"),
            env=place.environ,
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        ) as daemon,
    ):
        try:
            until(log, "joined as w")
            config.write_text('{"execution": {"graceSeconds": 6}, "store": "elsewhere"}', encoding="utf-8")
            daemon.send_signal(signal.SIGHUP)
            until(log, "from now on: execution.grace")
            daemon.terminate()
            assert daemon.wait(60) == 0
        finally:
            daemon.kill()


def test_a_worker_whose_terminal_goes_away_leaves(place: Place) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *place.argv("worker", "start", "--id", "w")],
        env=place.environ,
        cwd=place.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as daemon:
        os.close(theirs)
        try:
            shown = b""
            while b"joined as w" not in shown:
                shown += os.read(ours, 65_536)
            os.close(ours)
            daemon.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
    with place.client() as client:
        assert [row.status for row in client.workers()] == ["offline"]
