"""`Client` on tasks: submitting, waiting, reading, cancelling, retrying."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.errors import (
    BadInput,
    Conflict,
    NotFound,
    OutcomeUnknown,
    Rejected,
    SentinelError,
    StoreError,
    TaskFailed,
    Unavailable,
    WaitTimeout,
)
from sentinel.fleet.submission import Declared, Submission
from sentinel.model import layout
from sentinel.model.codec import encode_document
from sentinel.model.task import Ending, Task
from sentinel.store.base import Committed, Outcome, Refused, Transaction
from sentinel.store.memory import MemoryStore
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


# --- submitting ---------------------------------------------------------------------------------------


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
    assert [len(commit.transactions) for commit in stage.fleet.history[1:]] == [100, 100, 50]


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


# --- reading ------------------------------------------------------------------------------------------


def test_lists_hold_active_and_ended_tasks_the_oldest_first(client: Client, stage: Stage) -> None:
    for name in ("b", "a", "c"):
        client.submit("shell", positional=["true"], id=name)
    run(stage, "a", Ending(cause=None))
    assert [task.id for task in client.tasks()] == ["b", "a", "c"]


def test_lists_can_be_narrowed(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    client.submit("work", id="b", after=["a"], allow_unknown_type=True)
    client.submit("shell", positional=["true"], id="c")
    run(stage, "c", Ending(cause=None))
    assert [task.id for task in client.tasks(["blocked"])] == ["b"]
    assert [task.id for task in client.tasks(["pending", "done"])] == ["a", "c"]
    assert [task.id for task in client.tasks(type="work")] == ["b"]
    assert [task.id for task in client.tasks(worker="w1")] == ["c"]


def record(**fields: object) -> bytes:
    whole = {"id": "bad", "type": "x", "state": "pending", "created_at": "x", "epoch": 0, "rev": 1, "tx": "x"}
    return encode_document({**whole, **fields})


TORN = {
    "torn": b'{"format": 1, "id"',
    "not an object": b"[]",
    "another's": record(id="other"),
    "of a future format": record(format=2),
    "of 1 MB": b'{"format": 1, "x": "' + b"x" * 1_000_000 + b'"}',
    "without an owner": record(state="running"),
    "in an unknown state": record(state="lost"),
}


@pytest.mark.parametrize("folder", [layout.TASKS, layout.DONE])
@pytest.mark.parametrize("data", TORN.values(), ids=list(TORN))
def test_an_unreadable_record_is_left_out_and_reported(
    client: Client, stage: Stage, folder: str, data: bytes
) -> None:
    client.submit("shell", positional=["true"], id="good")
    stage.plant(f"{folder}bad", data)
    assert [task.id for task in client.tasks()] == ["good"]
    assert [problem.key for problem in client.problems()] == [f"{folder}bad"]
    with pytest.raises(StoreError, match="sentinel doctor"):
        client.get("bad")
    with pytest.raises(StoreError):
        client.cancel("bad")
    with pytest.raises(StoreError):
        client.submit("shell", positional=["true"], id="bad")


def test_a_missing_task_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        client.get("nowhere")


def test_a_bad_id_is_refused_and_not_looked_for(client: Client) -> None:
    for call in (
        client.get,
        client.cancel,
        client.retry,
        client.why,
        client.log,
        client.log_path,
        client.wait,
    ):
        with pytest.raises(BadInput):
            call("../../etc/passwd")


# --- waiting ------------------------------------------------------------------------------------------


def test_waiting_ends_when_all_have_ended(client: Client, stage: Stage) -> None:
    client.submit_many([shell("a"), shell("b")])
    run(stage, "a", Ending(cause=None))
    run(stage, "b", Ending(cause="error", message="no"))
    assert [task.state for task in client.wait(["b", "a"])] == ["failed", "done"]


def test_waiting_in_vain_ends_after_the_timeout(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    started = stage.clock.now()
    with pytest.raises(WaitTimeout, match="task a is still pending after 60 s"):
        client.wait("a", timeout=60)
    assert stage.clock.now() - started == 60


def test_waiting_sleeps_in_the_store_and_does_not_poll(stage: Stage) -> None:
    store = stage.store()
    client = stage.client(store=store)
    client.submit("shell", positional=["true"], id="a")
    with pytest.raises(WaitTimeout):
        client.wait("a", timeout=60)
    assert store.waits == 6


def test_each_change_is_told_once(stage: Stage) -> None:
    seen: list[list[str]] = []

    class Eventful(PatientStore):
        def wait(self, timeout: float) -> bool:
            if self.waits == 1:
                stage.join("w1")
                stage.claim("a", "w1")
            elif self.waits == 3:
                stage.end("a")
            return super().wait(timeout)

    client = stage.client(store=Eventful(stage.fleet, stage.clock))
    client.submit("shell", positional=["true"], id="a")
    client.wait("a", on_change=lambda tasks: seen.append([task.state for task in tasks]))
    assert seen == [["pending"], ["running"], ["done"]]


def test_a_result_is_returned_when_the_task_is_done(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause=None, result=[1, 2]))
    assert client.result("a") == [1, 2]


def test_a_large_result_is_read_from_its_blob(client: Client, stage: Stage) -> None:
    (blob,) = client.store.keep([b'{"large":true}'])
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause=None, result_blob=blob))
    assert client.result("a") == {"large": True}


def test_a_pruned_result_is_none(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause=None, result_blob="0" * 40))
    assert client.result("a") is None


def test_there_is_no_result_of_a_task_that_failed(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause="error", message="it broke"))
    with pytest.raises(TaskFailed, match="task a is failed: error: it broke"):
        client.result("a")


# --- changing -----------------------------------------------------------------------------------------


def test_a_waiting_task_is_cancelled_at_once(client: Client) -> None:
    client.submit("shell", positional=["true"], id="a")
    assert client.cancel("a").state == "cancelled"
    assert client.get("a").reason == "cancelled by tester"


def test_the_owner_of_a_running_task_is_asked_to_cancel_it(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    stage.join("w1")
    stage.claim("a", "w1")
    client.cancel("a", "wrong branch")
    assert client.get("a").cancel_requested == "wrong branch"


def test_a_failed_task_gets_a_new_run(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause="error"))
    assert client.retry("a").run == 2
    assert client.get("a").state == "pending"


def test_done_is_final(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause=None))
    with pytest.raises(Conflict, match="done is final"):
        client.retry("a")
    with pytest.raises(Conflict):
        client.cancel("a")


def test_dry_runs_of_changes_write_nothing(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    before = len(stage.fleet.history)
    assert client.cancel("a", dry_run=True).state == "cancelled"
    with pytest.raises(Conflict):
        client.retry("a", dry_run=True)
    assert len(stage.fleet.history) == before


# --- logs ---------------------------------------------------------------------------------------------


def test_the_log_of_an_ended_attempt_is_read_from_its_blob(client: Client, stage: Stage) -> None:
    (blob,) = client.store.keep([b"hello\n"])
    client.submit("shell", positional=["true"], id="a")
    run(stage, "a", Ending(cause=None, log={"blob": blob, "bytes": 6, "truncated": False}))
    assert client.log("a") == b"hello\n"
    assert client.log_path("a") is None


@pytest.fixture
def on_this_host(stage: Stage, tmp_path: Path) -> Client:
    store = stage.store()
    store.host_folder = tmp_path
    client = stage.client(store=store)
    client.submit("shell", positional=["true"], id="a")
    incarnation = stage.join("w1")
    stage.claim("a", "w1")
    folder = tmp_path / "logs" / layout.session_register(incarnation)
    folder.mkdir(parents=True)
    (folder / f"{layout.run_name('a', 1)}.log").write_bytes(b"so far")
    return client


def test_the_log_of_a_running_task_on_this_host_is_its_live_file(on_this_host: Client) -> None:
    assert on_this_host.log("a") == b"so far"
    path = on_this_host.log_path("a")
    assert path is not None
    assert path.read_bytes() == b"so far"


def test_a_running_task_on_another_host_has_no_log_yet(client: Client, stage: Stage) -> None:
    client.submit("shell", positional=["true"], id="a")
    stage.join("w1")
    stage.claim("a", "w1")
    with pytest.raises(NotFound, match="runs on w1; its log is stored when it ends"):
        client.log("a")


def test_a_task_that_never_ran_and_one_whose_log_was_pruned_have_no_log(client: Client, stage: Stage) -> None:
    client.submit_many([shell("a"), shell("b")])
    run(stage, "b", Ending(cause=None, log={"blob": "0" * 40}))
    with pytest.raises(NotFound, match="task a is pending and has no log"):
        client.log("a")
    with pytest.raises(NotFound, match="pruned"):
        client.log("b")


# --- the connection -----------------------------------------------------------------------------------


def test_a_memory_url_is_a_fleet_of_its_own() -> None:
    with Client("memory:") as one, Client("memory:") as other:
        one.submit("shell", positional=["true"])
        assert other.tasks() == []


def test_a_store_that_was_given_is_not_closed() -> None:
    closed: list[bool] = []

    class Closing(MemoryStore):
        def close(self) -> None:
            closed.append(True)

    with Client(Closing()):
        pass
    assert closed == []


@pytest.mark.parametrize("actor", ["", "two words", "a\nb", "x" * 81, "\u202e"])
def test_an_actor_that_cannot_stand_in_the_audit_is_refused(actor: str) -> None:
    with pytest.raises(BadInput, match="actor"):
        Client(MemoryStore(), actor=actor)


def test_the_public_name_is_this_client() -> None:
    import sentinel

    assert sentinel.Client is Client


def test_tasks_are_frozen(client: Client) -> None:
    task = client.submit("shell", positional=["true"])
    assert isinstance(task, Task)
    with pytest.raises(AttributeError):
        task.state = "done"  # type: ignore[misc]  # that is the point
