"""Snapshots as typed records: what cannot be read is left out and reported, and the rest works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sentinel.errors import BadRecord, Unavailable
from sentinel.fleet import tasks
from sentinel.fleet.view import Reader, View, load_session
from sentinel.model.codec import Document, encode
from sentinel.model.layout import LOCK_FLOOR, session_register
from sentinel.model.task import Task
from sentinel.store.base import Expected, Register, Snapshot
from sentinel.store.memory import MemorySnapshot
from tests.unit.builders import (
    FAILED,
    WALL,
    Bench,
    ended,
    held_lock,
    incarnation,
    running,
    session,
    task,
    worker,
)

FUTURE = b'{"format":2,"rev":1,"tx":"t"}'
LARGE = b'{"format":1,"x":"' + b"x" * 1_000_000 + b'"}'


@pytest.fixture
def full(bench: Bench) -> Bench:
    bench.put(task(), worker(), incarnation(), held_lock())
    return bench


def test_a_view_has_every_record_by_its_name(full: Bench) -> None:
    view = full.view()
    names = [set(records) for records in (view.tasks, view.workers, view.incarnations, view.locks)]
    assert names == [{"build"}, {"w1"}, {"inc1"}, {"deploy"}]


def test_ended_tasks_are_found_by_id_and_not_listed(bench: Bench) -> None:
    bench.put(ended())
    view = bench.view()
    found = view.task("build")
    assert (set(view.tasks), found is not None and found.state) == (set(), "done")


def test_a_task_that_does_not_exist_is_none(bench: Bench) -> None:
    assert bench.view().task("build") is None


@pytest.mark.parametrize("key", ["tasks/bad", "workers/bad", "incarnations/bad", "locks/bad"])
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[]", b"{}", FUTURE, LARGE, b'{"format":1,"id":"other","name":"other"}'],
    ids=len,
)
def test_a_record_that_cannot_be_read_is_reported_and_the_rest_is_there(
    full: Bench, key: str, data: bytes
) -> None:
    full.tear(key, data)
    view = full.view()
    assert ([problem.key for problem in view.problems], set(view.tasks), set(view.workers)) == (
        [key],
        {"build"},
        {"w1"},
    )


def test_an_incarnation_that_cannot_be_read_is_live_all_the_same(bench: Bench) -> None:
    bench.tear("incarnations/inc1")
    assert bench.view().live("inc1")


def test_an_unreadable_task_is_an_error_for_whoever_asks_for_it(bench: Bench) -> None:
    bench.tear("tasks/build")
    with pytest.raises(BadRecord, match="tasks/build"):
        bench.view().task("build")


def test_the_floor_of_locks_is_no_lock(bench: Bench) -> None:
    bench.tear(LOCK_FLOOR, b'{"format":1,"rev":1,"tx":"t","epoch":7}')
    view = bench.view()
    assert (dict(view.locks), view.problems) == ({}, ())


class Forgetful(Snapshot):
    """A snapshot that cannot tell what changed."""

    def __init__(self, inner: Snapshot) -> None:
        self.revision = inner.revision
        self._inner = inner

    def get(self, key: str) -> Document | None:
        return self._inner.get(key)

    def list(self, prefix: str) -> Iterator[str]:
        return self._inner.list(prefix)

    def version(self, key: str) -> Expected:
        return self._inner.version(key)


def shown(view: View) -> list[object]:
    return [
        view.tasks,
        view.workers,
        view.incarnations,
        view.locks,
        view.unreadable.keys(),
        view.running,
        view.living,
    ]


@pytest.mark.parametrize("telling", [True, False], ids=["told-what-changed", "not-told"])
def test_a_reader_that_followed_every_step_sees_what_a_new_one_sees(full: Bench, telling: bool) -> None:
    follower = Reader()
    steps: list[Callable[[], None]] = [
        lambda: full.put(task("test"), worker("w2", "inc2")),
        lambda: full.put(running("deploy", incarnation="inc2"), incarnation("inc2", "w2")),
        lambda: full.tear("tasks/test"),
        lambda: full.tear("incarnations/inc1"),
        lambda: full.tear("incarnations/inc1", encode({**incarnation().document(), "format": 1})),
        lambda: full.drop("tasks/test"),
        lambda: full.drop("incarnations/inc2"),
        lambda: full.put(ended("deploy")),
        lambda: full.drop("locks/deploy"),
    ]
    for step in steps:
        step()
        now = full.snapshot()
        followed = follower.view(now if telling else Forgetful(now))
        assert shown(followed) == shown(Reader().view(now))


def test_a_view_that_was_made_before_stays_as_it_was(full: Bench) -> None:
    reader = Reader()
    before = reader.view(full.snapshot())
    was = [dict(before.tasks), dict(before.incarnations), dict(before.running)]
    full.put(running("other"), incarnation("inc2", "w2"))
    full.drop("tasks/build")
    reader.view(full.snapshot())
    assert [before.tasks, before.incarnations, before.running] == was


def test_a_reader_whose_store_failed_in_the_middle_misses_nothing_the_next_time(
    full: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader()
    reader.view(full.snapshot())
    full.put(task("one"), task("two"))

    def get(self: MemorySnapshot, key: str) -> Document | None:
        if key == "tasks/two":
            raise Unavailable("gone")
        return original(self, key)

    original = MemorySnapshot.get
    with monkeypatch.context() as patch:
        patch.setattr(MemorySnapshot, "get", get)
        with pytest.raises(Unavailable):
            reader.view(full.snapshot())
    assert set(reader.view(full.snapshot()).tasks) == {"build", "one", "two"}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys whose documents were asked for, in order."""
    keys: list[str] = []
    real = MemorySnapshot.get

    def get(snapshot: MemorySnapshot, key: str) -> object:
        keys.append(key)
        return real(snapshot, key)

    monkeypatch.setattr(MemorySnapshot, "get", get)
    return keys


def test_each_version_of_a_record_is_parsed_once(full: Bench, parsed: list[str]) -> None:
    reader = Reader()
    reader.view(full.snapshot())
    full.put(task("other"))
    parsed.clear()
    reader.view(full.snapshot())
    assert parsed == ["tasks/other"]


def test_each_version_of_an_ended_task_is_parsed_once_however_often_it_is_asked_for(
    bench: Bench, parsed: list[str]
) -> None:
    bench.put(ended())
    reader = Reader()
    for _ in range(3):
        bench.put(worker())
        view = reader.view(bench.snapshot())
        assert [view.task("build") for _ in range(3)] == [view.task("build")] * 3
    assert parsed.count("done/build") == 1


def test_an_ended_task_that_nobody_asked_for_in_between_is_forgotten(bench: Bench, parsed: list[str]) -> None:
    bench.put(ended())
    reader = Reader()
    for asks in (True, False, False, True):
        bench.put(worker())
        view = reader.view(bench.snapshot())
        if asks:
            view.task("build")
    assert parsed.count("done/build") == 2


def test_an_old_view_gives_the_ended_task_of_its_own_time(bench: Bench) -> None:
    bench.put(ended("build", FAILED))
    reader = Reader()
    old = reader.view(bench.snapshot())
    bench.put(ended())
    new = reader.view(bench.snapshot())
    states = [view.task("build") for view in (old, new, old)]
    assert [found and found.state for found in states] == ["failed", "done", "failed"]


def test_an_ended_task_that_was_retried_is_found_in_its_new_run(bench: Bench) -> None:
    bench.put(ended("build", FAILED))
    reader = Reader()
    reader.view(bench.snapshot()).task("build")
    snapshot = bench.snapshot()
    bench.lands(tasks.retry(bench.change(snapshot), snapshot, "build", wall=WALL, by="ann")[0])
    found = reader.view(bench.snapshot()).task("build")
    assert found is not None
    assert (found.state, found.run) == ("pending", 2)


def test_an_unreadable_ended_task_is_an_error_each_time_it_is_asked_for(bench: Bench) -> None:
    bench.tear("done/build")
    view = bench.view()
    for _ in range(3):
        with pytest.raises(BadRecord, match="done/build"):
            view.task("build")


def test_a_changed_record_is_seen(full: Bench) -> None:
    reader = Reader()
    reader.view(full.snapshot())
    full.put(task(priority="high"))
    assert reader.view(full.snapshot()).tasks["build"].priority == "high"


def test_a_record_that_was_mended_is_no_problem_any_more(full: Bench) -> None:
    reader = Reader()
    full.tear("tasks/build")
    assert reader.view(full.snapshot()).problems
    full.put(task())
    assert not reader.view(full.snapshot()).problems


def test_a_deleted_record_is_gone(full: Bench) -> None:
    reader = Reader()
    reader.view(full.snapshot())
    full.drop("tasks/build")
    assert dict(reader.view(full.snapshot()).tasks) == {}


def test_a_view_is_not_changed_by_what_comes_later(full: Bench) -> None:
    reader = Reader()
    before = reader.view(full.snapshot())
    full.drop("tasks/build")
    reader.view(full.snapshot())
    assert isinstance(before.tasks["build"], Task)


NAME = session_register("inc1")


def test_a_session_is_read_from_its_register() -> None:
    assert load_session(NAME, Register("v1", session("inc1").document())) == session("inc1")


@pytest.mark.parametrize(
    "register",
    [
        None,
        Register("v1", None, "torn"),
        Register("v1", {}),
        Register("v1", {**session("inc1").document(), "ttl": "long"}),
        Register("v1", session("inc2").document()),
        Register("v1", session("inc2", sealed_by="w2").document()),
    ],
    ids=["missing", "unreadable", "empty", "wrong type", "another's", "another's, sealed"],
)
def test_what_is_no_session_of_that_incarnation_is_none(register: Register | None) -> None:
    assert load_session(NAME, register) is None
