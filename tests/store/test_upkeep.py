"""A local store is kept small under the feet of those who use it: nothing that anybody needs goes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sentinel.errors import Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store import upkeep
from sentinel.store.base import ABSENT, Store
from sentinel.store.upkeep import beginning_by_mark, beginning_by_number, compact, keep_small, size
from sentinel.testing.workbench import landed, transaction

TWO_DAYS = 2 * 86_400


def write(store: Store, count: int, start: int = 0, note: str = "a test") -> None:
    """So many commits, each of a document of its own."""
    for number in range(start, start + count):
        landed(
            store, transaction({f"tasks/t-{number}": ABSENT}, {f"tasks/t-{number}": {"number": number}}, note)
        )


def begin_at(path: Path, keep: int) -> None:
    """Let the history begin with the oldest of the ``keep`` newest commits."""
    compact(path, beginning_by_number(pygit2.Repository(str(path)), keep)[0])


def age_objects(path: Path) -> None:
    """Make every object look as if it were two days old."""
    old = time.time() - TWO_DAYS
    for file in (path / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            os.utime(file, (old, old))


def git(path: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(path), *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_packing_leaves_nothing_loose_and_everything_there(local: Any) -> None:
    store = local.client()
    write(store, 30)
    compact(local.path, None)
    found = size(local.path)
    assert (found.loose, found.packs, store.read().get("tasks/t-7")["number"]) == (0, 1, 7)


def test_the_history_begins_where_it_was_told_to(local: Any) -> None:
    write(local.client(), 30)
    begin_at(local.path, 10)
    assert (size(local.path).commits, len(git(local.path, "log", "--oneline", STATE_REF).splitlines())) == (
        10,
        10,
    )


def test_the_head_and_all_documents_stay_as_they_were(local: Any) -> None:
    store = local.client()
    write(store, 30)
    before = store.read()
    begin_at(local.path, 10)
    after = local.client().read()
    assert after.revision == before.revision
    assert sorted(after.list("tasks/")) == sorted(before.list("tasks/"))
    assert after.get("tasks/t-0")["number"] == 0


def test_what_was_let_go_takes_no_room_a_day_later(local: Any) -> None:
    store = local.client()
    write(store, 60)
    compact(local.path, None)
    before = size(local.path)
    age_objects(local.path)
    begin_at(local.path, 5)
    after = size(local.path)
    assert after.loose + after.packed < before.packed


def test_what_was_let_go_is_whole_to_git(local: Any) -> None:
    write(local.client(), 30)
    begin_at(local.path, 10)
    assert "error" not in git(local.path, "fsck", "--full", "--strict", "--no-dangling")


def test_a_client_from_before_reads_and_commits_on(local: Any) -> None:
    old = local.client()
    write(old, 30)
    old.read()
    age_objects(local.path)
    begin_at(local.path, 10)
    write(old, 5, 30)
    new = local.client()
    write(new, 5, 35)
    assert (old.read().get("tasks/t-39")["number"], new.read().get("tasks/t-0")["number"]) == (39, 0)


def test_a_client_that_slept_meanwhile_takes_no_alarm(local: Any) -> None:
    sleeper, other = local.client(), local.client()
    write(other, 30)
    sleeper.read()
    write(other, 20, 30)
    age_objects(local.path)
    begin_at(local.path, 30)
    assert sleeper.read().get("tasks/t-49")["number"] == 49


def test_a_branch_that_was_moved_back_is_an_alarm_all_the_same(local: Any) -> None:
    store = local.client()
    write(store, 30)
    begin_at(local.path, 20)
    store.read()
    git(local.path, "update-ref", STATE_REF, git(local.path, "rev-parse", f"{STATE_REF}~3").strip())
    with pytest.raises(Unavailable, match="does not contain it"):
        store.read()


def test_the_audit_ends_where_the_history_does(local: Any) -> None:
    write(local.client(), 30)
    begin_at(local.path, 10)
    assert len(local.client().audit(100)) == 10


def test_a_later_beginning_takes_the_place_of_an_earlier_one(local: Any) -> None:
    store = local.client()
    write(store, 30)
    begin_at(local.path, 20)
    write(store, 10, 30)
    begin_at(local.path, 5)
    assert size(local.path).commits == 5


def test_artifacts_are_there_while_their_day_is_kept_and_go_a_day_after(local: Any) -> None:
    store = local.client()
    (name,) = store.keep([b"a log"])
    age_objects(local.path)
    compact(local.path, None)
    before = local.client().kept(name)
    ((day, version),) = store.days().items()
    assert store.drop_day(day, version)
    age_objects(local.path)
    compact(local.path, None)
    assert (before, local.client().kept(name)) == (b"a log", None)


def test_a_day_that_has_changed_is_not_dropped(local: Any) -> None:
    store = local.client()
    store.keep([b"a"])
    ((day, version),) = store.days().items()
    store.keep([b"b"])
    assert (store.drop_day(day, version), store.drop_day(day, "no id"), len(store.days())) == (
        False,
        False,
        1,
    )


def test_what_was_just_written_and_not_yet_named_stays(local: Any) -> None:
    repository = pygit2.Repository(str(local.path))
    blob = repository.create_blob(b"about to be committed")
    compact(local.path, None)
    assert blob in pygit2.Repository(str(local.path))


def test_a_client_keeps_no_files_open_that_are_gone(local: Any) -> None:
    writer, reader = local.client(), local.client()
    for number in range(160):
        write(writer, 1, number)
        reader.read().get(f"tasks/t-{number}")
    held = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    assert len([name for name in held if name.startswith(str(local.path)) and ".pack" in name]) < 160


def test_those_who_commit_meanwhile_lose_nothing(local: Any) -> None:
    failures: list[BaseException] = []

    def work(store: Store, first: int) -> None:
        try:
            for number in range(first, first + 40):
                write(store, 1, number)
                assert store.read().get(f"tasks/t-{number}") is not None
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            failures.append(error)
        store.close()

    firsts = (1_000, 2_000)
    threads = [threading.Thread(target=work, args=(local.open(), first)) for first in firsts]
    for thread in threads:
        thread.start()
    for _ in range(3):
        begin_at(local.path, 15)
        age_objects(local.path)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    kept = {int(key.rpartition("-")[2]) for key in local.client().read().list("tasks/")}
    assert kept == {number for first in firsts for number in range(first, first + 40)}
    assert "error" not in git(local.path, "fsck", "--full", "--no-dangling")


def test_the_mark_of_the_retention_says_where_the_history_begins(local: Any) -> None:
    store = local.client()
    for mark in range(1, 6):
        write(store, 3, 10 * mark)
        write(store, 1, 10 * mark + 5, note=f"mark {mark} of the retention, by w1")
    found, older = beginning_by_mark(pygit2.Repository(str(local.path)), 3)
    assert older == 1 + 2 * 4 + 3
    assert found is not None
    assert "mark 3 of the retention, by w1" in git(local.path, "log", "-1", "--format=%B", found)


def test_before_the_mark_was_made_nothing_is_let_go(local: Any) -> None:
    write(local.client(), 3)
    assert beginning_by_mark(pygit2.Repository(str(local.path)), 3)[0] is None


def test_a_store_that_has_grown_is_packed_and_not_again_until_it_has_doubled(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "GROWTH", 30_000)
    store = local.client()
    packs = []
    for turn in range(4):
        write(store, 8, 8 * turn)
        keep_small(local.path, 0)
        packs.append(size(local.path).packs)
    assert (min(packs), max(packs) > 8) == (1, True)


def test_two_never_tidy_up_one_store(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "GROWTH", 0)
    write(local.client(), 5)
    with upkeep.alone(local.path):
        keep_small(local.path, 0)
        during = size(local.path).packs
    keep_small(local.path, 0)
    assert (during, size(local.path).packs) == (5, 1)


def test_a_helper_starts_no_second_process_while_one_runs(tmp_path: Path) -> None:
    started: list[list[str]] = []

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        started.append(command)
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    helper = upkeep.Helper(start)
    helper.start(tmp_path, 1)
    helper.start(tmp_path, 2)
    process = helper._running
    assert process is not None
    process.communicate(b"\n")
    helper.start(tmp_path, 3)
    assert [command[-1] for command in started] == ["1", "3"]
    helper._running.communicate(b"\n")  # type: ignore[union-attr]  # it was just started


def test_the_program_lets_go_what_is_older_than_the_mark(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = local.client()
    write(store, 20)
    write(store, 1, 20, note="mark 1 of the retention, by w1")
    write(store, 2, 21)
    niceness: list[int] = []
    monkeypatch.setattr(os, "nice", niceness.append)
    monkeypatch.setattr(upkeep, "WORTH_IT", 20)
    upkeep.main([str(local.path), "1"])
    assert (size(local.path).commits, niceness) == (3, [19])
