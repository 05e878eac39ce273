"""The local store among real processes: races, pushes by Git itself beside it, and kill -9 at any moment."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT
from sentinel.testing.workbench import landed, transaction

Start = Callable[..., "subprocess.Popen[str]"]


def output(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return text


def test_increments_by_separate_processes_are_all_counted(local: Any, python: Start) -> None:
    running = [python("increment", local.path, f"p{number}", 15) for number in range(3)]
    for process in running:
        output(process)
    snapshot = local.client().read()
    assert snapshot.get("counter")["value"] == 45
    assert len(list(snapshot.list("tasks/"))) == 45


def test_a_register_moved_by_separate_processes_uses_up_each_version_once(local: Any, python: Start) -> None:
    running = [python("beat", local.path, 40) for _ in range(3)]
    used = [version for process in running for version in output(process).splitlines()]
    assert len(used) == len(set(used)) == 120
    assert local.client().published()["ab"].document == {"format": 1, "seq": 120}


def test_a_register_folder_holds_one_pointer_and_one_value_after_a_race(local: Any, python: Start) -> None:
    for process in [python("beat", local.path, 20) for _ in range(3)]:
        output(process)
    sessions = local.path / "sentinel" / "sessions"
    assert [len(list((sessions / place).iterdir())) for place in ("live/ab", "values", "new")] == [1, 1, 0]


def test_processes_that_make_one_store_at_once_all_succeed_with_one_root(
    tmp_path: Path, python: Start
) -> None:
    url = tmp_path / "deep" / "fleet.git"
    running = [python("create", url) for _ in range(4)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert len({output(process) for process in running}) == 1


@pytest.mark.parametrize("left", ["nothing", "empty", "written", "renamed"])
def test_a_committer_killed_inside_the_move_of_the_ref_stops_nobody(
    local: Any, python: Start, sleepless: Any, left: str
) -> None:
    process = python("die_in_the_act", local.path, left)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    survivor = local.open(clock=sleepless)
    before = sleepless.now()
    landed(survivor, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert sleepless.now() - before < 1.0
    assert (survivor.read().get("tasks/mine") is not None) == (left == "renamed")
    survivor.close()


def test_a_store_whose_committers_are_killed_again_and_again_loses_nothing_it_acknowledged(
    make_local_bench: Any, python: Start
) -> None:
    bench = make_local_bench(fsync=True)
    report = json.loads(output(python("kill_committers", bench.path, 60, 25, 1)))
    print(report)
    assert report["missing"] == []
    assert report["refused"] == []
    assert report["rounds"] >= 1
    subprocess.run(
        ["git", "-C", str(bench.path), "fsck", "--connectivity-only"], check=True, capture_output=True
    )
    assert not (bench.path / f"{STATE_REF}.lock").exists()


class Pusher:
    """Somebody with a clone who adds files to the state branch and pushes, the way Git does it."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder = folder
        self._git("clone", "-q", "--branch", "sentinel/state", str(origin), str(folder), at=origin)

    def _git(self, *arguments: str, at: Path | None = None) -> subprocess.CompletedProcess[str]:
        name = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        return subprocess.run(
            ["git", "-C", str(at or self.folder), *name, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    def prepare(self, name: str) -> None:
        """Add a file on top of what is there now."""
        self._git("fetch", "-q", "origin")
        self._git("reset", "-q", "--hard", "origin/sentinel/state")
        (self.folder / name).write_text(name)
        self._git("add", name)
        self._git("commit", "-q", "-m", f"by hand: {name}")

    def push(self) -> bool:
        """Push what was prepared; whether Git says that it went through."""
        return self._git("push", "-q", "origin", "HEAD:sentinel/state").returncode == 0


def test_pushes_by_git_beside_committing_clients_lose_nothing_and_are_not_lost(
    local: Any, tmp_path: Path
) -> None:
    pusher = Pusher(tmp_path / "clone", local.path)
    rng = random.Random(4)
    pushed: list[str] = []
    committed: list[str] = []
    clients = [local.client(), local.client()]
    took = 0.1
    for number in range(15):
        name = f"note-{number}.txt"
        pusher.prepare(name)
        began = time.monotonic()
        done: list[bool] = []
        with local.thread(lambda d=done: d.append(pusher.push())):
            # In the last round nobody interferes. In the others each commits once, somewhere in the push.
            for client in clients if number < 14 else []:
                time.sleep(rng.uniform(0.0, took))
                key = f"tasks/{len(committed)}"
                landed(client, transaction({key: ABSENT}, {key: {}}, f"create {key}"))
                committed.append(key)
        took = time.monotonic() - began
        if done[0]:
            pushed.append(name)
    assert pushed
    snapshot = local.client().read()
    assert set(committed) == set(snapshot.list("tasks/"))
    tree = pygit2.Repository(str(local.path))[snapshot.revision].peel(pygit2.Tree)
    assert [name for name in pushed if name not in tree] == []
    print(f"{len(pushed)} of 15 pushes went through beside {len(committed)} commits")


def test_a_commit_of_ours_makes_a_push_from_an_older_state_fail(local: Any, tmp_path: Path) -> None:
    pusher = Pusher(tmp_path / "clone", local.path)
    pusher.prepare("note.txt")
    landed(local.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert not pusher.push()
    assert local.client().read().get("tasks/a") is not None
