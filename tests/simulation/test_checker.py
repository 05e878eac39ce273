"""The checker finds each violation that is planted, and calls it by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sentinel.model import layout
from sentinel.model.lease import GRACE, work_limit
from sentinel.model.retention import Terms
from sentinel.store.base import ABSENT, DELETE, Expected, Transaction, Written
from sentinel.testing.checker import Checker, Sender, Violation
from sentinel.testing.checking.specification import spec_hash

TTL = 10.0
LIMIT = work_limit(TTL) + GRACE


class History:
    """A history that is told to a checker step by step; every step is a right one unless it is changed."""

    def __init__(self, retention: Terms | None = None) -> None:
        self.checker = Checker(retention)
        self.now = 0.0
        self._numbers = 0
        self.seqs: dict[str, int] = {}

    def commit(
        self, write: Mapping[str, Written], *, by: str = "nobody", note: str = "a test"
    ) -> Transaction:
        self._numbers += 1
        expect: dict[str, Expected] = dict.fromkeys(write, ABSENT)
        transaction = Transaction(f"tx{self._numbers}", expect, write, note)
        sender = Sender(process=f"process of {by}", incarnation=by)
        self.checker.committed(self.now, [transaction], {transaction.id: sender})
        return transaction

    def join(self, incarnation: str, worker: str | None = None, rev: int = 1) -> None:
        self.checker.announced(incarnation, rate=1.0, max_tasks=1)
        record = {"worker": worker or f"worker of {incarnation}", "kind": "worker", "ttl": TTL, "rev": rev}
        self.commit({layout.incarnation_key(incarnation): record}, by=incarnation)

    def beat(self, incarnation: str, *, sent_at: float | None = None, by: str | None = None) -> None:
        self.seqs[incarnation] = self.seqs.get(incarnation, 0) + 1
        document = {"incarnation": incarnation, "worker": "w", "seq": self.seqs[incarnation], "ttl": TTL}
        self.publish(incarnation, document, sent_at=sent_at, by=by or incarnation)

    def seal(self, incarnation: str, because: str = "silent") -> None:
        document = {
            "incarnation": incarnation,
            "worker": "w",
            "seq": 0,
            "ttl": TTL,
            "sealed_by": "x",
            "sealed_because": because,
        }
        self.publish(incarnation, document, by="x")

    def publish(
        self, incarnation: str, document: dict[str, Any], *, by: str, sent_at: float | None = None
    ) -> None:
        self.checker.published(
            self.now,
            layout.session_register(incarnation),
            document,
            f"version at {self.now}",
            sent_at=self.now if sent_at is None else sent_at,
            sender=Sender(process=f"process of {by}", incarnation=by),
        )

    def bury(self, incarnation: str) -> None:
        self.commit({layout.incarnation_key(incarnation): DELETE}, by="x")

    def task(self, task_id: str, *, by: str = "nobody", **fields: Any) -> None:
        document = {
            "type": "work",
            "args": {},
            "positional": [],
            "state": "pending",
            "rev": 1,
            "epoch": 0,
            "run": 1,
            "owner": None,
            "incarnation": None,
            "result": None,
            "history": [],
            **fields,
        }
        ended = document["state"] in ("done", "failed", "cancelled", "dead")
        here, there = layout.task_key(task_id), layout.done_key(task_id)
        self.commit({here: DELETE, there: document} if ended else {here: document, there: DELETE}, by=by)

    def claimed(self, task_id: str = "t", *, by: str = "inc") -> None:
        """A task that a live, beating incarnation has claimed."""
        self.join(by)
        self.beat(by)
        self.task(task_id)
        self.task(task_id, by=by, state="running", rev=2, epoch=1, owner="w", incarnation=by)

    def lock(self, name: str, *, by: str = "nobody", note: str = "a test", **fields: Any) -> None:
        document = {"holder": None, "incarnation": None, "epoch": 1, "rev": 1, "ttl": TTL, **fields}
        self.commit({layout.lock_key(name): document}, by=by, note=note)

    def start(self, incarnation: str = "inc", *, task: str = "t", epoch: int = 1, args: Any = None) -> None:
        order: dict[str, Any] = {"type": "work", "args": args or {}, "positional": []}
        self.checker.started(self.now, incarnation, f"{task}-{epoch}", task, epoch, order)


@pytest.fixture
def history() -> History:
    return History()


def violated(invariant: str) -> Any:
    return pytest.raises(Violation, match=f"^{invariant} at ")


def test_a_right_history_passes(history: History) -> None:
    history.claimed()
    history.start()
    history.now += LIMIT - 0.1
    history.checker.ended(history.now, "inc", "t-1")
    history.task("t", by="inc", state="done", rev=3, epoch=1, result="r")
    history.checker.told_result(history.now, "t", 1, "r")
    history.checker.at_rest(history.now)


def test_a_second_result_of_one_run_is_i1(history: History) -> None:
    history.claimed()
    history.task("t", by="inc", state="done", rev=3, epoch=1, result="first")
    history.claimed("u", by="other")
    with violated("I1"):
        # As a store would tell it that takes the same run's end from two peers in one commit.
        history.task("t", by="other", state="done", rev=4, epoch=1, result="second")


def test_a_falling_epoch_is_i2(history: History) -> None:
    history.claimed()
    with violated("I2"):
        history.task("t", by="inc", rev=3, epoch=0)


def test_a_claim_that_does_not_raise_the_epoch_is_i2(history: History) -> None:
    history.join("inc")
    history.task("t")
    with violated("I2"):
        history.task("t", by="inc", state="running", rev=2, epoch=0, owner="w", incarnation="inc")


def test_a_lock_that_begins_again_at_its_old_epoch_is_i2(history: History) -> None:
    history.lock("deploy", holder="a", epoch=1)
    history.lock("deploy", epoch=1, rev=2, note="release lock deploy")
    history.commit({layout.lock_key("deploy"): DELETE})
    with violated("I2"):
        history.lock("deploy", holder="b", epoch=1)


def test_a_version_that_comes_back_is_i3(history: History) -> None:
    history.claimed()
    with violated("I3"):
        history.task("t", by="inc", rev=2, epoch=1, owner=None)


def test_a_task_in_both_folders_is_i3(history: History) -> None:
    history.claimed()
    history.task("t", by="inc", state="failed", rev=3, epoch=1)
    with violated("I3"):
        history.commit({layout.task_key("t"): {"state": "pending", "rev": 1, "epoch": 0, "run": 1}})


def test_a_transaction_that_lands_twice_is_i3(history: History) -> None:
    transaction = history.commit({"fleet": {"rev": 1}})
    with violated("I3"):
        history.checker.committed(1.0, [transaction], {transaction.id: Sender(process="p")})


def test_a_claim_in_anothers_name_is_i4(history: History) -> None:
    history.join("inc")
    history.task("t")
    with violated("I4"):
        history.task("t", by="other", state="running", rev=2, epoch=1, owner="w", incarnation="inc")


def test_a_finish_by_somebody_else_is_i4(history: History) -> None:
    history.claimed()
    history.join("other")
    with violated("I4"):
        history.task("t", by="other", state="done", rev=3, epoch=1)


def test_a_start_without_a_claim_is_i4(history: History) -> None:
    history.join("inc")
    history.beat("inc")
    history.task("t")
    with violated("I4"):
        history.start()


def test_a_seal_before_the_time_of_silence_is_over_is_i5(history: History) -> None:
    history.claimed()
    history.now += TTL - 0.1
    with violated("I5"):
        history.seal("inc")


def test_a_seal_after_the_time_of_silence_is_right(history: History) -> None:
    history.claimed()
    history.now += TTL
    history.seal("inc")


def test_a_seal_over_one_that_is_buried_takes_nothing(history: History) -> None:
    history.claimed()
    history.now += TTL
    history.seal("inc")
    history.bury("inc")
    history.checker.published(
        history.now, layout.session_register("inc"), None, None, sent_at=0.0, sender=Sender(process="p")
    )
    history.seal("inc")


def test_a_seal_that_is_only_asked_for_too_early_is_i5(history: History) -> None:
    history.claimed()
    register = layout.session_register("inc")
    document = {"incarnation": "inc", "sealed_by": "x", "sealed_because": "silent"}
    with violated("I5"):
        history.checker.seal_sent(
            20.0, register, "version at 0.0", document, sender=Sender(process="p"), seen_at=TTL - 0.1
        )


def test_a_proof_of_death_of_one_that_lives_is_i5(history: History) -> None:
    history.claimed()
    with violated("I5"):
        history.seal("inc", "proven dead")


def test_a_burial_without_a_seal_is_i5(history: History) -> None:
    history.claimed()
    history.now += 10 * TTL
    with violated("I5"):
        history.bury("inc")


def test_two_live_incarnations_of_one_worker_are_i5(history: History) -> None:
    history.join("one", "w")
    history.join("two", "w")
    with violated("I5"):
        history.commit({layout.worker_key("w"): {"rev": 1}}, by="two")


def test_a_registration_that_goes_while_its_worker_is_live_is_i5(history: History) -> None:
    history.join("one", "w")
    history.commit({layout.worker_key("w"): {"rev": 1}}, by="one")
    with violated("I5"):
        history.commit({layout.worker_key("w"): DELETE}, by="two")


def test_a_registration_may_go_with_its_worker(history: History) -> None:
    history.join("one", "w")
    history.commit({layout.worker_key("w"): {"rev": 1}}, by="one")
    history.commit({layout.worker_key("w"): DELETE, layout.incarnation_key("one"): DELETE}, by="one")


def test_a_ticket_that_is_freed_before_its_time_is_i5(history: History) -> None:
    history.lock("deploy", holder="a")
    history.now += TTL - 0.1
    with violated("I5"):
        history.lock("deploy", rev=2, note="free lock deploy")


def test_a_lock_that_is_taken_from_a_live_holder_is_i5(history: History) -> None:
    history.join("inc")
    history.join("other")
    history.lock("deploy", by="inc", holder="w", incarnation="inc")
    with violated("I5"):
        history.lock("deploy", by="other", holder="o", incarnation="other", epoch=2, rev=2)


def test_a_process_that_outlives_its_deadline_is_i6(history: History) -> None:
    history.claimed()
    history.start()
    history.now += LIMIT + 0.1
    with violated("I6"):
        history.checker.ended(history.now, "inc", "t-1")


def test_a_beat_that_lands_late_does_not_excuse_what_lived_too_long_before_it(history: History) -> None:
    history.claimed()
    history.start()
    history.now += LIMIT + 0.1
    with violated("I6"):
        history.beat("inc", sent_at=history.now - 1.0)


def test_a_leave_while_a_process_runs_is_i6(history: History) -> None:
    history.claimed()
    history.start()
    with violated("I6"):
        history.commit({layout.incarnation_key("inc"): DELETE}, by="inc")


def test_a_process_that_goes_on_at_the_end_is_i6(history: History) -> None:
    history.claimed()
    history.start()
    with violated("I6"):
        history.checker.at_rest(100.0)


def test_an_acknowledged_submit_that_is_not_there_is_i7(history: History) -> None:
    with violated("I7"):
        history.checker.told_submitted(0.0, "t")


def test_an_acknowledged_transaction_that_did_not_land_is_i7(history: History) -> None:
    with violated("I7"):
        history.checker.acknowledged(0.0, Transaction("tx", {}, {}, "never landed"))


def test_a_result_that_was_read_and_is_not_kept_is_i7(history: History) -> None:
    history.claimed()
    history.task("t", by="inc", state="done", rev=3, epoch=1, result="kept")
    with violated("I7"):
        history.checker.told_result(0.0, "t", 1, "read")


def test_a_task_that_vanishes_is_i7(history: History) -> None:
    history.claimed()
    with violated("I7"):
        history.commit({layout.task_key("t"): DELETE})


@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "dead"])
def test_a_run_that_goes_on_after_its_end_is_i8(history: History, state: str) -> None:
    history.claimed()
    history.task("t", by="inc", state=state, rev=3, epoch=1)
    with violated("I8"):
        history.task("t", rev=4, epoch=1)


#: What the fleet of these tests keeps, in seconds and number.
KEPT = Terms(seconds=100.0, count=4)


@pytest.fixture
def pruned() -> History:
    """A history in which ended tasks may be pruned, with one task that has just ended."""
    history = History(KEPT)
    history.claimed()
    history.task("t", by="inc", state="done", rev=3, epoch=1)
    return history


def prune(history: History, task: str = "t") -> None:
    history.commit({layout.done_key(task): DELETE})


def test_an_ended_task_that_goes_where_nothing_is_pruned_is_i7(history: History) -> None:
    history.claimed()
    history.task("t", by="inc", state="done", rev=3, epoch=1)
    with violated("I7"):
        prune(history)


def test_an_ended_task_that_is_pruned_before_its_time_is_i7(pruned: History) -> None:
    pruned.now += KEPT.seconds * 0.85
    with violated("I7"):
        prune(pruned)


def test_an_ended_task_that_is_pruned_after_its_time_is_not_lost(pruned: History) -> None:
    pruned.now += KEPT.seconds
    prune(pruned)
    assert pruned.checker.counts["pruned"] == 1


def test_a_task_that_is_pruned_before_it_has_ended_is_i7(pruned: History) -> None:
    pruned.task("busy")
    pruned.now += KEPT.seconds
    with violated("I7"):
        pruned.commit({layout.task_key("busy"): DELETE})


def test_a_task_that_is_pruned_while_another_is_to_run_after_it_is_i7(pruned: History) -> None:
    pruned.task("next", after=["t"])
    pruned.now += KEPT.seconds
    with violated("I7"):
        prune(pruned)


def test_the_mark_of_the_retention_may_be_written_into_an_ended_task(pruned: History) -> None:
    pruned.task("t", state="done", rev=4, epoch=1, mark=7)


def test_the_mark_of_the_retention_does_not_make_a_task_younger(pruned: History) -> None:
    pruned.now += KEPT.seconds
    pruned.task("t", state="done", rev=4, epoch=1, mark=7)
    prune(pruned)
    assert pruned.checker.counts["pruned"] == 1


def test_a_task_whose_mark_is_written_together_with_something_else_is_i8(pruned: History) -> None:
    with violated("I1"):
        pruned.task("t", state="done", rev=4, epoch=1, mark=7, result="another")


def test_the_id_of_a_pruned_task_stands_for_another_one_afterwards(pruned: History) -> None:
    pruned.now += KEPT.seconds
    prune(pruned)
    pruned.task("t")
    assert pruned.checker.counts["pruned"] == 0


def test_another_order_than_the_approved_one_is_i9(history: History) -> None:
    history.claimed()
    with violated("I9"):
        history.start(args={"changed": True})


def test_more_processes_than_slots_are_i10(history: History) -> None:
    history.claimed()
    history.start()
    history.task("u")
    history.task("u", by="inc", state="running", rev=2, epoch=1, owner="w", incarnation="inc")
    with violated("I10"):
        history.start(task="u")


def test_a_finish_of_a_dead_incarnation_is_i11(history: History) -> None:
    history.claimed()
    history.now += TTL
    history.seal("inc")
    history.bury("inc")
    with violated("I11"):
        history.task("t", by="inc", state="done", rev=3, epoch=1)


def test_an_incarnation_that_comes_back_is_i11(history: History) -> None:
    history.join("inc")
    history.commit({layout.incarnation_key("inc"): DELETE}, by="inc")
    with violated("I11"):
        history.join("inc")


def test_a_beat_over_a_seal_is_i11(history: History) -> None:
    history.claimed()
    history.now += TTL
    history.seal("inc")
    with violated("I11"):
        history.beat("inc")


def test_a_task_that_never_ends_is_a_lack_of_liveness(history: History) -> None:
    history.task("t")
    with violated("liveness"):
        history.checker.at_rest(1000.0)


def from_outside(kind: str = "issue", *, approved: bool = True, **fields: Any) -> dict[str, Any]:
    """The fields of a task from outside, approved as it stands or not at all."""
    source = {"kind": kind, "name": "12"}
    document = {"type": "work", "args": {}, "positional": [], **fields}
    approval = {"spec": spec_hash(document)} if approved else None
    return {**fields, "source": source, "approval": approval}


def test_a_task_from_outside_that_was_approved_passes(history: History) -> None:
    history.join("inc")
    history.task("t", **from_outside(approved=False), state="awaiting_approval")
    history.task("t", **from_outside(), rev=2)
    history.task(
        "t", **from_outside(), by="inc", state="running", rev=3, epoch=1, owner="w", incarnation="inc"
    )


def test_a_task_from_outside_that_nobody_approved_and_waits_for_a_worker_is_i9(history: History) -> None:
    with violated("I9"):
        history.task("t", **from_outside(approved=False))


def test_a_task_that_runs_under_the_approval_of_something_else_is_i9(history: History) -> None:
    history.join("inc")
    history.task("t", **from_outside())
    with violated("I9"):
        history.task(
            "t",
            **{**from_outside(), "args": {"path": "/"}},
            by="inc",
            state="running",
            rev=2,
            epoch=1,
            owner="w",
            incarnation="inc",
        )


def test_a_task_of_the_store_whose_specification_changes_is_i9(history: History) -> None:
    history.task("t")
    with violated("I9"):
        history.task("t", rev=2, state="cancelled", args={"path": "/"})


def test_a_changed_file_may_follow_what_is_done(history: History) -> None:
    history.join("inc")
    history.task("t", **from_outside("file"))
    running: dict[str, Any] = {"by": "inc", "owner": "w", "incarnation": "inc", "epoch": 1}
    history.task("t", **from_outside("file"), **running, state="running", rev=2)
    history.task("t", **from_outside("file"), **running, state="done", rev=3)
    history.task("t", **from_outside("file", args={"path": "docs"}), rev=4, run=2, epoch=1)


def test_another_run_of_an_issue_that_is_done_is_i8(history: History) -> None:
    history.join("inc")
    history.task("t", **from_outside())
    running: dict[str, Any] = {"by": "inc", "owner": "w", "incarnation": "inc", "epoch": 1}
    history.task("t", **from_outside(), **running, state="running", rev=2)
    history.task("t", **from_outside(), **running, state="done", rev=3)
    with violated("I8"):
        history.task("t", **from_outside(args={"path": "docs"}), rev=4, run=2, epoch=1)
