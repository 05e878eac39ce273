"""`Client` hands in tasks: idempotent, in batches, and refused as a whole sentence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sentinel.client import Client
from sentinel.client.batches import LEAST, MOST
from sentinel.errors import (
    BadInput,
    Conflict,
    NotFound,
    OutcomeUnknown,
    Rejected,
    SentinelError,
    Unavailable,
)
from sentinel.fleet.submission import Declared, Submission
from sentinel.model.task import Ending
from sentinel.store.base import Committed, Outcome, Refused, Transaction
from tests.unit.stage import PatientStore, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.client()


def run(stage: Stage, task_id: str, ending: Ending) -> None:
    if "w1" not in stage.view().workers:
        stage.join("w1")
    stage.claim(task_id, "w1")
    stage.end(task_id, ending)


def shell(id: str, *after: str) -> Submission:
    return Submission(type="shell", positional=("true",), id=id, after=after)


def test_a_submitted_task_is_stored_with_its_submitter(client: Client) -> None:
    task = client.submit("shell", positional=["true"])
    assert client.get(task.id).submitted_by == "tester"


def test_the_same_submission_twice_is_one_task(client: Client, stage: Stage) -> None:
    client.submit("shell", {}, positional=["true"], id="a")
    before = len(stage.fleet.history)
    client.submit("shell", {}, positional=["true"], id="a")
    assert len(stage.fleet.history) == before


def test_a_repeated_submission_of_a_done_task_gives_that_task(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause=None))
    assert client.submit("shell", positional=["true"], id="a").state == "done"


def test_another_specification_under_the_same_id_is_a_conflict(client: Client) -> None:
    client.submit("shell", positional=["true"], id="a")
    with pytest.raises(Conflict, match="another positional"):
        client.submit("shell", positional=["false"], id="a")


def test_a_missing_dependency_is_refused(client: Client) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        client.submit("shell", positional=["true"], after=["nowhere"])


def test_an_unknown_type_is_refused_unless_it_is_allowed(client: Client) -> None:
    with pytest.raises(BadInput, match="shell"):
        client.submit("work")
    assert client.submit("work", allow_unknown_type=True).type == "work"


def test_the_types_of_a_registered_worker_are_known_even_when_it_is_away(
    client: Client, stage: Stage
) -> None:
    stage.join("w1", types=("work",))
    stage.leave("w1")
    assert client.submit("work").state == "pending"


def test_arguments_are_checked_where_this_side_knows_the_type(stage: Stage) -> None:
    def check(args: object, positional: object) -> None:
        raise BadInput(f"cannot take {args} and {positional}")

    client = stage.client(types={"work": Declared(origin="here", check=check)})
    with pytest.raises(BadInput, match="cannot take"):
        client.submit("work", {"x": 1})


def test_bad_input_is_refused_before_anything_is_written(client: Client, stage: Stage) -> None:
    with pytest.raises(BadInput):
        client.submit("shell", positional=["true"], timeout=0)
    assert len(stage.fleet.history) == 1


def test_a_dry_run_decides_and_writes_nothing(client: Client, stage: Stage) -> None:
    assert client.submit("shell", positional=["true"], id="a", dry_run=True).id == "a"
    with pytest.raises(NotFound):
        client.submit("shell", positional=["true"], after=["nowhere"], dry_run=True)
    assert len(stage.fleet.history) == 1


def test_many_tasks_share_commits(client: Client, stage: Stage) -> None:
    client.submit_many([shell(f"t{number}") for number in range(250)])
    assert sizes(stage) == [100, 150]


def sizes(stage: Stage) -> list[int]:
    return [len(commit.transactions) for commit in stage.fleet.history[1:]]


def test_a_commit_holds_the_more_the_quicker_the_last_ones_were_up_to_a_limit(
    client: Client, stage: Stage
) -> None:
    client.submit_many([shell(f"t{number}") for number in range(LEAST + 2 * MOST)])
    assert sizes(stage) == [100, 200, 400, 800, 1600, 200]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([0.15] * 5, [100, 100, 100, 100, 50]), ([0.05, 1.0, 0.15, 0.15], [100, 200, 100, 50])],
    ids=["neither quick nor slow", "slow once it was larger"],
)
def test_a_commit_holds_no_more_than_lands_quickly(
    stage: Stage, seconds: list[float], expected: list[int]
) -> None:
    class SlowStore(PatientStore):
        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            stage.clock.sleep(seconds[len(sizes(stage))])
            return super().commit(transactions)

    client = stage.client(store=SlowStore(stage.fleet, stage.clock))
    client.submit_many([shell(f"t{number}") for number in range(450)])
    assert sizes(stage) == expected


def test_many_tasks_are_taken_in_the_order_in_which_they_were_submitted(client: Client) -> None:
    tasks = client.submit_many([shell(f"t{9 - number}") for number in range(9)])
    assert sorted(tasks, key=lambda task: task.rank) == tasks


def test_a_task_may_run_after_one_that_stands_before_it(client: Client, stage: Stage) -> None:
    client.submit_many([shell("a"), shell("b", "a"), shell("c", "b"), shell("d")])
    assert client.get("c").after == ("b",)


def test_an_id_that_stands_twice_is_one_task(client: Client) -> None:
    first, second = client.submit_many([shell("a"), shell("a")])
    assert first.id == second.id
    assert len(client.tasks()) == 1


def test_one_bad_task_does_not_keep_the_others_out(client: Client) -> None:
    wanted = [shell("a"), Submission(type="shell", id="b", timeout=0), shell("c", "nowhere"), shell("d")]
    with pytest.raises(SentinelError) as refused:
        client.submit_many(wanted)
    assert [task.id for task in client.tasks()] == ["a", "d"]
    assert len(str(refused.value).splitlines()) == 2


def test_errors_of_one_kind_keep_their_exit_status(client: Client) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        client.submit_many([shell("a", "nowhere"), shell("b", "elsewhere")])


def test_tasks_that_a_competitor_submitted_meanwhile_are_recognised(stage: Stage) -> None:
    class Racing(PatientStore):
        raced = False

        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            if not self.raced:
                self.raced = True
                stage.client().submit_many([shell("b")])
            return super().commit(transactions)

    client = stage.client(store=Racing(stage.fleet, stage.clock))
    assert [task.id for task in client.submit_many([shell("a"), shell("b")])] == ["a", "b"]
    assert len(client.get("b").history) == 1


def test_a_lost_reply_does_not_submit_twice(stage: Stage) -> None:
    class Forgetful(PatientStore):
        lost = False

        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            outcomes = super().commit(transactions)
            if not self.lost:
                self.lost = True
                raise OutcomeUnknown("the reply was lost")
            return outcomes

    client = stage.client(store=Forgetful(stage.fleet, stage.clock))
    client.submit_many([shell("a"), shell("b")])
    assert len(stage.fleet.history) == 2


def test_a_refusal_of_the_store_names_the_task_it_refused(stage: Stage) -> None:
    class Guarded(PatientStore):
        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            return [
                Refused("a hook said no") if "submit b" in tx.note else Committed("1") for tx in transactions
            ]

    client = stage.client(store=Guarded(stage.fleet, stage.clock))
    with pytest.raises(Rejected, match=r"submit b .*a hook said no"):
        client.submit_many([shell("a"), shell("b")])


def test_a_store_that_stays_away_is_given_up(stage: Stage) -> None:
    class Away(PatientStore):
        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            raise Unavailable("the store is away")

    client = stage.client(store=Away(stage.fleet, stage.clock))
    with pytest.raises(Unavailable):
        client.submit("shell", positional=["true"])


def test_a_job_is_a_task_by_another_name(client: Client, stage: Stage) -> None:
    stage.join("w1", types=("context7",))
    job = client.submit_job("context7", {"query": "react"}, timeout=30)
    assert client.get(job).timeout == 30
    stage.claim(job, "w1")
    stage.end(job, Ending(cause=None, result={"found": 1}))
    assert client.wait_for_job(job, timeout=1) == {"found": 1}
