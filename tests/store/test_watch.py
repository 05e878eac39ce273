"""Waking without polling, and polling where there is no other way."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sentinel.clock import SystemClock
from sentinel.store.base import ABSENT
from sentinel.store.local import LocalStore
from sentinel.store.watch import Watch
from sentinel.testing.workbench import landed, transaction


def never() -> bool:
    return False


def quiet(store: LocalStore) -> LocalStore:
    """Wait until nothing is new any more."""
    store.read()
    while store.wait(0.01):
        store.read()
    return store


@pytest.fixture(params=["inotify", "polling"])
def waiting(local: Any, request: pytest.FixtureRequest) -> LocalStore:
    """A client that has seen everything, with and without help from the kernel."""
    store: LocalStore = local.client()
    store._watch._notify = request.param == "inotify"
    return quiet(store)


def test_a_supervisor_that_writes_into_the_folder_of_the_living_wakes_its_peers(
    local: Any, waiting: LocalStore
) -> None:
    proof = waiting.path / "sentinel" / "alive" / "worker-001"

    def write() -> None:
        proof.write_text("empty")

    with local.thread(write):
        assert waiting.wait(30.0)


def test_a_file_in_the_folder_of_the_living_that_changes_before_the_first_wait_is_not_missed(
    local: Any,
) -> None:
    proof = local.path / "sentinel" / "alive" / "worker-001"
    proof.write_text("announced")
    store = local.client()
    store.read()
    proof.write_text("announced empty")
    assert store.wait(0.0)


def test_a_change_in_the_folder_of_the_living_between_two_waits_is_not_missed(waiting: LocalStore) -> None:
    (waiting.path / "sentinel" / "alive" / "worker-001").write_text("empty")
    assert waiting.wait(0.0)


def test_one_piece_of_news_wakes_once(waiting: LocalStore) -> None:
    (waiting.path / "sentinel" / "alive" / "worker-001").write_text("empty")
    quiet(waiting)
    assert not waiting.wait(0.05)


def test_beats_wake_nobody(local: Any, waiting: LocalStore) -> None:
    local.client().publish("ab", {"seq": 1}, ABSENT)
    assert not waiting.wait(0.05)


def test_kept_blobs_wake_nobody(local: Any, waiting: LocalStore) -> None:
    local.client().keep([b"a log"])
    assert not waiting.wait(0.05)


def test_a_lock_file_that_comes_and_goes_wakes_nobody(waiting: LocalStore) -> None:
    lock = waiting.path / "refs/heads/sentinel/state.lock"
    lock.touch()
    lock.unlink()
    assert not waiting.wait(0.05)


def test_a_commit_wakes_after_git_packed_the_ref_and_removed_its_folder(
    local: Any, waiting: LocalStore
) -> None:
    subprocess.run(["git", "-C", str(local.path), "pack-refs", "--all", "--prune"], check=True)
    quiet(waiting)
    landed(local.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert waiting.wait(30.0)


def test_a_state_ref_that_cannot_be_read_wakes_so_that_the_reader_is_told(waiting: LocalStore) -> None:
    (waiting.path / "refs/heads/sentinel/state").write_text("garbage\n")
    assert waiting.wait(30.0)


@pytest.fixture
def without_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    import inotify_simple

    def refuse() -> None:
        raise OSError("inotify instance limit reached")

    monkeypatch.setattr(inotify_simple, "INotify", refuse)


@pytest.mark.usefixtures("without_inotify")
def test_without_inotify_looks_are_half_a_second_apart(tmp_path: Path, sleepless: Any) -> None:
    looks: list[float] = []

    def moved() -> bool:
        looks.append(sleepless.now())
        return len(looks) == 5

    watch = Watch(tmp_path, tmp_path / "alive", sleepless)
    assert watch.wait(60.0, moved)
    assert [later - earlier for earlier, later in itertools.pairwise(looks)] == [0.5] * 4


@pytest.mark.usefixtures("without_inotify")
def test_without_inotify_waiting_ends_when_its_time_is_over(tmp_path: Path, sleepless: Any) -> None:
    began = sleepless.now()
    assert not Watch(tmp_path, tmp_path / "alive", sleepless).wait(1.7, never)
    assert sleepless.now() - began == pytest.approx(1.7)


def test_a_watched_folder_that_is_removed_and_made_again_is_watched_again(tmp_path: Path) -> None:
    (tmp_path / "alive").mkdir()
    watch = Watch(tmp_path, tmp_path / "alive", SystemClock())
    assert not watch.wait(0.0, never)
    (tmp_path / "alive").rmdir()
    assert watch.wait(30.0, never)
    (tmp_path / "alive").mkdir()
    while watch.wait(0.01, never):
        pass
    (tmp_path / "alive" / "worker-001").write_text("empty")
    assert watch.wait(30.0, never)
    watch.close()


def test_a_closed_watch_can_be_closed_again(tmp_path: Path) -> None:
    (tmp_path / "alive").mkdir()
    watch = Watch(tmp_path, tmp_path / "alive", SystemClock())
    watch.wait(0.0, never)
    watch.close()
    watch.close()


class Ear:
    """Listens for one client, and counts what it is told of."""

    def __init__(self, store: LocalStore) -> None:
        store.read()
        self.told = 0
        self.event = SystemClock().event()
        assert store.listen(self.event, self._tell)

    def _tell(self) -> None:
        self.told += 1


def test_whoever_listens_is_woken_by_what_another_client_writes(local: Any) -> None:
    ear = Ear(local.client())
    landed(local.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert ear.event.wait(30.0)


def test_whoever_listens_is_not_woken_by_what_it_writes_itself(local: Any) -> None:
    store = local.client()
    ear = Ear(store)
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert not ear.event.wait(0.05)


def test_whoever_listens_is_told_of_what_it_writes_itself(local: Any) -> None:
    store = local.client()
    ear = Ear(store)
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    ear.event.wait(0.0)
    assert ear.told == 1


def test_a_commit_of_another_that_landed_before_ones_own_wakes(local: Any) -> None:
    store = local.client()
    ear = Ear(store)
    landed(local.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    landed(store, transaction({"tasks/b": ABSENT}, {"tasks/b": {}}))
    assert ear.event.wait(30.0)


def test_whoever_listens_goes_on_when_git_packed_the_ref_and_removed_its_folder(local: Any) -> None:
    store = local.client()
    ear = Ear(store)
    subprocess.run(["git", "-C", str(local.path), "pack-refs", "--all", "--prune"], check=True)
    while ear.event.wait(0.05):
        store.read()
    landed(local.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert ear.event.wait(30.0)


@pytest.mark.usefixtures("without_inotify")
def test_without_inotify_nobody_can_listen(local: Any) -> None:
    assert not local.client().listen(SystemClock().event(), never)
