"""Locks that dead committers leave, foreign locks, stopped holders, and replies that cannot be trusted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT, Committed, Conflicted
from sentinel.store.local import LocalStore
from sentinel.store.refs import FOREIGN_LOCK_SECONDS
from sentinel.testing.workbench import attempt, landed, transaction

A = "a" * 40
B = "b" * 40


@pytest.fixture
def store(local: Any, sleepless: Any) -> LocalStore:
    """A client on a clock on which waiting takes no time."""
    client: LocalStore = local.open(clock=sleepless)
    return client


@pytest.fixture
def lock(local: Any) -> Path:
    """The lock file of the state ref."""
    path: Path = local.path / f"{STATE_REF}.lock"
    return path


def create(store: LocalStore, name: str) -> object:
    return attempt(store, transaction({f"tasks/{name}": ABSENT}, {f"tasks/{name}": {}}))


@pytest.mark.parametrize("content", ["", A + "\n"], ids=["empty", "with the noted id"])
def test_the_lock_of_a_committer_that_died_in_the_act_is_removed_at_once(
    local: Any, store: LocalStore, lock: Path, sleepless: Any, content: str
) -> None:
    (local.path / "sentinel" / "flock").write_text(f"{A} {STATE_REF}\n")
    lock.write_text(content)
    before = sleepless.now()
    assert isinstance(create(store, "a"), Committed)
    assert sleepless.now() - before < 1.0
    assert not lock.exists()


def test_the_note_is_wiped_after_every_commit(local: Any, store: LocalStore) -> None:
    create(store, "a")
    assert (local.path / "sentinel" / "flock").read_bytes() == b""


def test_a_lock_with_another_id_than_the_noted_one_is_not_removed_at_once(
    local: Any, store: LocalStore, lock: Path
) -> None:
    (local.path / "sentinel" / "flock").write_text(f"{A} {STATE_REF}\n")
    lock.write_text(B)
    with pytest.raises(Unavailable, match=r"state\.lock"):
        create(store, "a")
    assert lock.read_text() == B


@pytest.mark.parametrize(
    "note", [A, f"{A} refs/heads", f"{A} ../../etc/passwd\n", "\0" * 50, f"{A} /etc/passwd\n"]
)
def test_a_note_that_is_torn_or_foreign_removes_nothing(
    local: Any, store: LocalStore, lock: Path, note: str
) -> None:
    (local.path / "sentinel" / "flock").write_text(note)
    lock.touch()
    with pytest.raises(Unavailable):
        create(store, "a")
    assert lock.exists()


def test_a_foreign_lock_is_respected_for_ten_seconds_and_then_removed(
    store: LocalStore, lock: Path, sleepless: Any
) -> None:
    lock.write_text(B)
    began = sleepless.now()
    while sleepless.now() - began < FOREIGN_LOCK_SECONDS - 2.5:
        with pytest.raises(
            Unavailable, match=r"stands in the way; it is removed when it stays unchanged for 10 s"
        ):
            create(store, "a")
        assert lock.exists()
    with contextlib.suppress(Unavailable):
        create(store, "a")
    sleepless.sleep(3.0)
    assert isinstance(create(store, "b"), Committed)
    assert not lock.exists()


def test_a_foreign_lock_that_is_another_at_each_look_is_never_removed(
    store: LocalStore, lock: Path, sleepless: Any
) -> None:
    for number in range(5):
        lock.unlink(missing_ok=True)
        lock.write_text(f"{number}")
        with pytest.raises(Unavailable):
            create(store, "a")
        sleepless.sleep(FOREIGN_LOCK_SECONDS - 3.0)
    assert lock.exists()


def test_a_committer_waits_for_a_foreign_lock_that_goes_away(
    store: LocalStore, lock: Path, sleepless: Any
) -> None:
    lock.write_text(B)
    real_sleep = sleepless.sleep

    def sleep(seconds: float) -> None:
        real_sleep(seconds)
        lock.unlink(missing_ok=True)

    sleepless.sleep = sleep
    assert isinstance(create(store, "a"), Committed)


@pytest.fixture
def stopped_holder(local: Any, python: Callable[..., subprocess.Popen[str]]) -> Iterator[int]:
    """A process that was stopped while it holds the flock."""
    process = python("hold_flock", local.path / "sentinel" / "flock")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    os.kill(process.pid, signal.SIGSTOP)
    yield process.pid
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("stopped_holder")
def test_a_stopped_holder_of_the_flock_stops_nobody(local: Any, store: LocalStore) -> None:
    assert isinstance(create(store, "a"), Committed)
    assert isinstance(create(local.client(), "b"), Committed)


@pytest.mark.usefixtures("stopped_holder")
def test_nobody_waits_twice_for_the_same_silent_holder(store: LocalStore, sleepless: Any) -> None:
    create(store, "a")
    began = sleepless.now()
    for number in range(10):
        create(store, f"t{number}")
    assert sleepless.now() == began


@pytest.mark.usefixtures("stopped_holder")
def test_a_holder_that_shows_signs_of_life_is_waited_for_longer(local: Any, sleepless: Any) -> None:
    flock = local.path / "sentinel" / "flock"
    store = local.open(clock=sleepless)
    real_sleep = sleepless.sleep
    began = sleepless.now()

    def sleep(seconds: float) -> None:
        real_sleep(seconds)
        if sleepless.now() - began < 3.0:
            os.utime(flock, ns=(0, int(sleepless.now() * 1e9)))

    sleepless.sleep = sleep
    assert isinstance(create(store, "a"), Committed)
    assert 3.5 < sleepless.now() - began < 4.5
    store.close()


@pytest.mark.usefixtures("stopped_holder")
def test_however_lively_the_holders_are_the_wait_for_the_flock_ends(local: Any, sleepless: Any) -> None:
    flock = local.path / "sentinel" / "flock"
    store = local.open(clock=sleepless)
    real_sleep = sleepless.sleep
    began = sleepless.now()

    def sleep(seconds: float) -> None:
        real_sleep(seconds)
        os.utime(flock, ns=(0, int(sleepless.now() * 1e9)))

    sleepless.sleep = sleep
    assert isinstance(create(store, "a"), Committed)
    assert sleepless.now() - began < 5.5
    store.close()


@pytest.mark.usefixtures("stopped_holder")
def test_without_the_flock_nobody_writes_a_note(local: Any, store: LocalStore) -> None:
    create(store, "a")
    assert (local.path / "sentinel" / "flock").read_bytes() == b"the holder's own"


def test_two_clients_that_both_hold_no_flock_are_kept_apart_by_the_ref_alone(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.store.refs.take_flock", lambda *_, **__: 1)

    def write(store: LocalStore, mine: int) -> list[bool]:
        return [isinstance(create(store, f"t{number}"), Committed) for number in range(15)]

    for wins in zip(*local.together(4, write), strict=True):
        assert sum(wins) == 1


def test_a_reported_success_that_is_not_in_the_history_is_no_win(
    local: Any, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store._refs._swap
    lies = iter([True, True])
    monkeypatch.setattr(store._refs, "_swap", lambda *args: next(lies, None) or real(*args))
    assert isinstance(create(store, "a"), Committed)
    assert local.client().read().get("tasks/a") is not None


def test_a_reported_failure_of_what_did_land_is_a_win_and_lands_once(
    local: Any, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store._refs._swap

    def swap(*args: Any) -> bool:
        real(*args)
        raise OSError("the answer was lost")

    monkeypatch.setattr(store._refs, "_swap", swap)
    before = history(local.path)
    assert isinstance(create(store, "a"), Committed)
    assert history(local.path) == before + 1


def test_a_competitor_that_moves_the_ref_first_costs_a_retry_and_no_more(
    local: Any, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.store.refs.FLOCK_SECONDS", 0.0)
    other = local.client()
    real = store._refs._swap
    rivals = iter("xyz")

    def swap(*args: Any) -> bool:
        for name in rivals:
            landed(other, transaction({f"tasks/{name}": ABSENT}, {f"tasks/{name}": {}}))
            break
        return real(*args)

    monkeypatch.setattr(store._refs, "_swap", swap)
    assert isinstance(create(store, "x"), Conflicted)
    assert isinstance(create(store, "a"), Committed)
    assert sorted(store.read().list("tasks/")) == ["tasks/a", "tasks/x", "tasks/y", "tasks/z"]


@pytest.mark.parametrize("applied", [True, False])
def test_an_outcome_that_cannot_be_read_is_unknown_and_settled_when_sent_again(
    local: Any, store: LocalStore, monkeypatch: pytest.MonkeyPatch, *, applied: bool
) -> None:
    real = store._refs._swap
    ref = local.path / STATE_REF
    saved: list[str] = []

    def swap(*args: Any) -> bool:
        if applied:
            real(*args)
        saved.append(ref.read_text())
        ref.write_text("garbage\n")
        raise OSError("the disk has had enough")

    monkeypatch.setattr(store._refs, "_swap", swap)
    tx = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}})
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    monkeypatch.setattr(store._refs, "_swap", real)
    with pytest.raises(Unavailable, match="cannot be read"):
        attempt(store, tx)
    ref.write_text(saved[0])
    commits = history(local.path)
    assert isinstance(attempt(store, tx), Committed)
    assert history(local.path) == commits + (0 if applied else 1)
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}


def test_an_unknown_outcome_is_settled_even_after_others_moved_the_same_key(
    local: Any, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store._refs._swap

    def swap(*args: Any) -> bool:
        real(*args)
        monkeypatch.setattr(store._refs, "head", unreadable)
        raise OSError("the answer was lost")

    def unreadable(name: str) -> None:
        monkeypatch.undo()
        raise Unavailable("for a moment")

    monkeypatch.setattr(store._refs, "_swap", swap)
    tx = transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}})
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    other = local.client()
    landed(other, transaction({"tasks/a": other.read().version("tasks/a")}, {"tasks/a": {"n": 2}}))
    assert isinstance(attempt(store, tx), Committed)
    assert store.read().get("tasks/a") == {"format": 1, "n": 2}


def history(repository: Path) -> int:
    found = pygit2.Repository(str(repository))
    return sum(1 for _ in found.walk(found.lookup_reference(STATE_REF).target))
