"""`Client` on named locks: tickets, their expiry on the observer's clock, and dead holders."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.errors import BadInput, LockHeld, LockLost, NotFound, StoreError
from sentinel.fleet import locks
from sentinel.fleet.counting import all_contention
from sentinel.fleet.observer import Observer
from sentinel.model import layout
from sentinel.store.base import Snapshot, Transaction
from sentinel.testing.faults import Fault, FaultyStore
from tests.unit.stage import PatientStore, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.client()


def held_by_worker(stage: Stage, name: str, worker: str) -> str:
    incarnation = stage.join(worker)

    def decide(snapshot: Snapshot) -> tuple[Transaction, object]:
        return locks.acquire(
            stage.transactor.change(snapshot),
            snapshot,
            name,
            holder=worker,
            incarnation=incarnation,
            ttl=10.0,
            observer=Observer(),
            wall=stage.clock.wall(),
        )

    stage.transactor.transact(decide)
    return incarnation


def test_a_new_lock_starts_at_epoch_one(client: Client) -> None:
    lock = client.acquire_lock("x")
    assert (lock.epoch, lock.holder) == (1, "tester")


def test_the_epoch_goes_on_after_a_release(client: Client) -> None:
    client.acquire_lock("x")
    client.release_lock("x", 1)
    assert client.acquire_lock("x").epoch == 2


def test_a_held_lock_is_refused_naming_its_holder(client: Client, stage: Stage) -> None:
    client.acquire_lock("x")
    with pytest.raises(LockHeld, match="held by tester at epoch 1"):
        stage.client(actor="other").acquire_lock("x")


def test_a_ticket_is_free_after_its_ttl_and_not_before(client: Client, stage: Stage) -> None:
    client.acquire_lock("x", ttl=60)
    other = stage.client(actor="other")
    with pytest.raises(LockHeld):
        other.acquire_lock("x", wait=59)
    assert other.acquire_lock("x", wait=2).epoch == 2


def test_a_renewed_ticket_starts_its_time_anew(client: Client, stage: Stage) -> None:
    class Renewing(PatientStore):
        def wait(self, timeout: float) -> bool:
            if self.waits == 50:
                client.renew_lock("x", 1)
            return super().wait(timeout)

    client.acquire_lock("x", ttl=60)
    other = stage.client(actor="other", store=Renewing(stage.fleet, stage.clock))
    started = stage.clock.now()
    assert other.acquire_lock("x", wait=200).epoch == 2
    assert 110 <= stage.clock.now() - started <= 112


def test_a_release_wakes_who_waits(client: Client, stage: Stage) -> None:
    class Releasing(PatientStore):
        def wait(self, timeout: float) -> bool:
            if self.waits == 3:
                client.release_lock("x", 1)
            return super().wait(timeout)

    client.acquire_lock("x")
    other = stage.client(actor="other", store=Releasing(stage.fleet, stage.clock))
    assert other.acquire_lock("x", wait=30).epoch == 2


def test_one_command_goes_on_from_what_an_earlier_one_saw(
    client: Client, stage: Stage, tmp_path: Path
) -> None:
    client.acquire_lock("x", ttl=60)
    with pytest.raises(LockHeld):
        stage.client(state_folder=tmp_path).acquire_lock("x")
    stage.clock.advance(61)
    assert stage.client(state_folder=tmp_path).acquire_lock("x").epoch == 2


def test_what_one_folder_saw_is_not_known_in_another(client: Client, stage: Stage, tmp_path: Path) -> None:
    client.acquire_lock("x", ttl=60)
    with pytest.raises(LockHeld):
        stage.client(state_folder=tmp_path / "a").acquire_lock("x")
    stage.clock.advance(61)
    with pytest.raises(LockHeld):
        stage.client(state_folder=tmp_path / "b").acquire_lock("x")


def test_a_state_folder_that_cannot_be_written_does_no_harm(
    client: Client, stage: Stage, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert stage.client(state_folder=blocked).acquire_lock("x").epoch == 1


def test_wall_clocks_that_jump_free_no_lock(client: Client, stage: Stage) -> None:
    client.acquire_lock("x", ttl=60)
    other = stage.client(actor="other")
    with pytest.raises(LockHeld):
        other.acquire_lock("x")
    stage.clock.wall_offset += 7200
    with pytest.raises(LockHeld):
        other.acquire_lock("x")


def test_the_lock_of_a_silent_incarnation_is_taken_after_its_ttl_and_not_before(
    client: Client, stage: Stage
) -> None:
    incarnation = held_by_worker(stage, "x", "w1")
    with pytest.raises(LockHeld):
        client.acquire_lock("x", wait=9)
    assert client.acquire_lock("x", wait=3).epoch == 2
    assert not stage.view().live(incarnation)


def test_a_larger_stale_threshold_of_ours_delays_that(stage: Stage) -> None:
    client = stage.client(stale=30.0)
    held_by_worker(stage, "x", "w1")
    with pytest.raises(LockHeld):
        client.acquire_lock("x", wait=29)
    assert client.acquire_lock("x", wait=3).epoch == 2


def test_the_lock_of_an_incarnation_that_beats_is_not_taken(stage: Stage) -> None:
    class Beating(PatientStore):
        def wait(self, timeout: float) -> bool:
            stage.beat("w1")
            return super().wait(timeout)

    held_by_worker(stage, "x", "w1")
    with pytest.raises(LockHeld):
        stage.client(store=Beating(stage.fleet, stage.clock)).acquire_lock("x", wait=60)


def test_the_lock_of_an_incarnation_that_is_gone_is_taken_at_once(client: Client, stage: Stage) -> None:
    held_by_worker(stage, "x", "w1")
    stage.leave("w1")
    assert client.acquire_lock("x").epoch == 2


def test_a_dry_run_says_what_would_be_had_and_takes_and_seals_nothing(client: Client, stage: Stage) -> None:
    held_by_worker(stage, "x", "w1")
    with pytest.raises(LockHeld):
        client.acquire_lock("x", dry_run=True)
    stage.clock.advance(11)
    before = len(stage.fleet.history), len(stage.fleet.register_history)
    assert client.acquire_lock("x", dry_run=True).epoch == 2
    assert client.acquire_lock("y", dry_run=True).epoch == 1
    assert (len(stage.fleet.history), len(stage.fleet.register_history)) == before


def test_a_lock_is_renewed_and_released_by_its_epoch_alone(client: Client) -> None:
    client.acquire_lock("x")
    with pytest.raises(LockLost, match="not at epoch 7"):
        client.renew_lock("x", 7)
    with pytest.raises(LockLost):
        client.release_lock("x", 7)
    client.release_lock("x", 1)
    with pytest.raises(LockLost, match="free"):
        client.renew_lock("x", 1)


def test_force_releases_whoever_holds_it_and_a_free_one_stays_free(client: Client, stage: Stage) -> None:
    held_by_worker(stage, "x", "w1")
    assert not client.release_lock("x", force=True).held
    assert not client.release_lock("x", force=True).held


def test_a_release_needs_an_epoch_or_force_and_not_both(client: Client) -> None:
    client.acquire_lock("x")
    with pytest.raises(BadInput):
        client.release_lock("x")
    with pytest.raises(BadInput):
        client.release_lock("x", 1, force=True)


def test_a_new_ttl_is_kept(client: Client) -> None:
    client.acquire_lock("x", ttl=60)
    client.renew_lock("x", 1, ttl=600)
    assert client.lock("x").ttl == 600


@pytest.mark.parametrize("ttl", [4.9, 86_401, float("nan"), -1, "long"])
def test_a_ttl_out_of_range_is_refused_with_the_range(client: Client, ttl: float) -> None:
    with pytest.raises(BadInput, match="seconds from 5 to 86,400"):
        client.acquire_lock("x", ttl=ttl)


@pytest.mark.parametrize("name", ["../x", "", "a..b", "-x", "x\n"])
def test_a_bad_name_is_refused(client: Client, name: str) -> None:
    for call in (client.acquire_lock, client.lock):
        with pytest.raises(BadInput, match="lock name"):
            call(name)


def test_a_lock_that_does_not_exist_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        client.lock("x")
    with pytest.raises(NotFound):
        client.release_lock("x", 1)


@pytest.mark.parametrize(
    "data", [b"{", b'{"format": 2}', b'{"format":1,"name":"y","epoch":1,"rev":1,"tx":"x"}']
)
def test_an_unreadable_lock_is_neither_taken_nor_hidden(client: Client, stage: Stage, data: bytes) -> None:
    stage.plant(layout.lock_key("x"), data)
    with pytest.raises(StoreError, match="sentinel doctor"):
        client.acquire_lock("x")
    with pytest.raises(StoreError):
        client.lock("x")
    assert [problem.key for problem in client.problems()] == ["locks/x"]
    assert client.locks() == []


def contention(stage: Stage, name: str = "x") -> tuple[int, int] | None:
    found = all_contention(stage.transactor.store.read()).get(name)
    return None if found is None else (found.conflicts, found.refused)


def test_who_does_not_get_a_lock_is_counted_as_a_conflict_that_was_refused(
    client: Client, stage: Stage
) -> None:
    client.acquire_lock("x")
    for _ in range(2):
        with pytest.raises(LockHeld):
            stage.client(actor="other").acquire_lock("x", wait=3)
    assert contention(stage) == (2, 2)


def test_who_has_to_wait_for_a_lock_is_counted_once_and_not_as_refused(client: Client, stage: Stage) -> None:
    client.acquire_lock("x", ttl=60)
    stage.client(actor="other").acquire_lock("x", wait=70)
    assert contention(stage) == (1, 0)


def test_a_lock_that_nobody_else_wanted_has_no_conflicts(client: Client, stage: Stage) -> None:
    client.release_lock("x", client.acquire_lock("x").epoch)
    client.acquire_lock("x")
    assert contention(stage) is None


def test_a_dry_run_counts_no_conflict(client: Client, stage: Stage) -> None:
    client.acquire_lock("x")
    with pytest.raises(LockHeld):
        client.acquire_lock("x", dry_run=True)
    assert contention(stage) is None


def test_a_conflict_that_cannot_be_counted_changes_nothing_for_who_met_it(
    client: Client, stage: Stage
) -> None:
    client.acquire_lock("x")
    store = FaultyStore(stage.store())
    store.inject("commit", Fault.UNAVAILABLE, times=9)
    with pytest.raises(LockHeld, match="held by tester"):
        stage.client(actor="other", store=store).acquire_lock("x")
    assert contention(stage) is None
