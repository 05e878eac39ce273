"""Failover by hand: by the rule of every peer, and only for what this machine has seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.errors import BadInput, Conflict, NotFound, WaitTimeout, WorkerIdInUse
from sentinel.store.base import Register
from tests.unit.stage import PatientStore, Stage

#: Session TTL and stale threshold of everybody here, in seconds.
W = 10.0


@pytest.fixture
def stage() -> Stage:
    return Stage()


class Beaten(PatientStore):
    """Whenever somebody looks at the sessions, these workers have just beaten."""

    beating: tuple[str, ...] = ()
    stage: Stage

    def published(self) -> dict[str, Register]:
        for worker in self.beating:
            self.stage.beat(worker)
        return super().published()


def beating(stage: Stage, *workers: str) -> Beaten:
    store = Beaten(stage.fleet, stage.clock)
    store.stage, store.beating = stage, workers
    return store


def live(stage: Stage, worker: str) -> bool:
    view = stage.view()
    return view.live(view.workers[worker].incarnation)


def test_a_silent_worker_is_failed_over_after_w_and_not_before(stage: Stage) -> None:
    stage.join("w1")
    began = stage.clock.now()
    found = stage.client().fail_over()
    assert [(one.worker, one.state) for one in found.judged] == [("w1", "failed_over")]
    assert W <= stage.clock.now() - began <= W + 1.0
    assert not live(stage, "w1")


def test_its_tasks_and_locks_are_freed(stage: Stage) -> None:
    stage.join("w1")
    stage.client().submit("shell", positional=["true"], id="t")
    stage.claim("t", "w1")
    found = stage.client().fail_over("w1")
    assert [line.split(" by ")[0] for line in found.freed] == ["free t epoch 1, lost"]
    assert (stage.task("t").state, stage.task("t").losses) == ("pending", 1)


def test_who_beats_is_left_alone_and_not_waited_for_longer(stage: Stage) -> None:
    stage.join("w1")
    began = stage.clock.now()
    found = stage.client(store=beating(stage, "w1")).fail_over()
    assert [(one.worker, one.state) for one in found.judged] == [("w1", "alive")]
    assert stage.clock.now() - began < W / 2
    assert live(stage, "w1")


def test_the_dead_are_told_from_the_living(stage: Stage) -> None:
    for worker in ("w1", "w2", "w3"):
        stage.join(worker)
    found = stage.client(store=beating(stage, "w1", "w3")).fail_over()
    assert {one.worker: one.state for one in found.judged} == {
        "w1": "alive",
        "w2": "failed_over",
        "w3": "alive",
    }


def test_one_that_is_named_and_beats_is_a_conflict(stage: Stage) -> None:
    stage.join("w1")
    with pytest.raises(Conflict, match="w1 beats"):
        stage.client(store=beating(stage, "w1")).fail_over("w1")


def test_a_dry_run_looks_once_says_how_long_it_takes_and_changes_nothing(stage: Stage) -> None:
    stage.join("w1")
    before = len(stage.fleet.history), len(stage.fleet.register_history), stage.clock.now()
    (judged,) = stage.client().fail_over(dry_run=True).judged
    assert (judged.state, judged.silence, judged.needed) == ("undecided", 0.0, W)
    assert (len(stage.fleet.history), len(stage.fleet.register_history), stage.clock.now()) == before


def test_one_command_goes_on_from_what_an_earlier_one_on_this_machine_saw(
    stage: Stage, tmp_path: Path
) -> None:
    stage.join("w1")
    stage.client(state_folder=tmp_path).fail_over(dry_run=True)
    stage.clock.advance(W + 1.0)
    (judged,) = stage.client(state_folder=tmp_path).fail_over(dry_run=True).judged
    assert (judged.state, judged.ground) == ("dead", "silent for 11.0 s")
    assert live(stage, "w1")
    (done,) = stage.client(state_folder=tmp_path).fail_over(wait=0.0).judged
    assert done.state == "failed_over"


def test_a_wait_that_is_too_short_says_what_is_missing(stage: Stage) -> None:
    stage.join("w1")
    with pytest.raises(WaitTimeout, match="w1: whether it is dead takes 6 s more"):
        stage.client().fail_over(wait=4.0)
    assert live(stage, "w1")


def test_one_that_announced_a_longer_time_gets_it(stage: Stage) -> None:
    stage.join("w1")
    stage.beat("w1", ttl=30.0)
    began = stage.clock.now()
    stage.client().fail_over()
    assert stage.clock.now() - began >= 30.0


def test_only_the_one_that_is_named_is_failed_over(stage: Stage) -> None:
    stage.join("w1")
    stage.join("w2")
    stage.client().fail_over("w1")
    assert (live(stage, "w1"), live(stage, "w2")) == (False, True)


def test_what_a_worker_left_behind_is_freed_although_it_is_not_live(stage: Stage) -> None:
    stage.join("w1")
    stage.client().submit("shell", positional=["true"], id="t")
    stage.claim("t", "w1")
    stage.leave("w1")
    found = stage.client().fail_over("w1")
    assert (found.judged, len(found.freed)) == ((), 1)
    assert stage.task("t").state == "pending"


def test_a_dry_run_names_what_would_be_freed(stage: Stage, tmp_path: Path) -> None:
    stage.join("w1")
    stage.client().submit("shell", positional=["true"], id="t")
    stage.claim("t", "w1")
    stage.client(state_folder=tmp_path).fail_over(dry_run=True)
    stage.clock.advance(W + 1.0)
    found = stage.client(state_folder=tmp_path).fail_over(dry_run=True)
    assert len(found.freed) == 1
    assert stage.task("t").state == "running"


def test_a_worker_that_leaves_meanwhile_is_no_matter_any_more(stage: Stage) -> None:
    class Leaving(PatientStore):
        left = False

        def published(self) -> dict[str, Register]:
            if not self.left and stage.clock.now() > began + 2.0:
                self.left = True
                stage.leave("w1")
            return super().published()

    stage.join("w1")
    began = stage.clock.now()
    found = stage.client(store=Leaving(stage.fleet, stage.clock)).fail_over()
    assert (found.judged, stage.clock.now() - began < W) == ((), True)


def test_a_worker_that_nobody_knows_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.client().fail_over("w9")
    with pytest.raises(BadInput):
        stage.client().fail_over("../w9")


def test_an_id_that_nobody_has_is_free(stage: Stage) -> None:
    assert stage.client().check_id_is_free("w1") is None


def test_an_id_under_which_somebody_beats_is_refused_naming_its_host(stage: Stage) -> None:
    incarnation = stage.join("w1")
    with pytest.raises(WorkerIdInUse, match=rf"w1 is running on host-of-w1 \(incarnation {incarnation}\)"):
        stage.client(store=beating(stage, "w1")).check_id_is_free("w1")


def test_the_id_of_a_silent_worker_is_free_and_nothing_is_taken_over(stage: Stage) -> None:
    stage.join("w1")
    found = stage.client().check_id_is_free("w1")
    assert found is not None
    assert (found.state, str(found.ground).split()[0]) == ("dead", "silent")
    assert live(stage, "w1")
