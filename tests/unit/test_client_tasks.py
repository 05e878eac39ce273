"""`Client` on tasks: reading, waiting, cancelling, retrying."""

from __future__ import annotations

import pytest

from sentinel.client import Client
from sentinel.errors import (
    BadInput,
    Conflict,
    NotFound,
    StoreError,
    TaskFailed,
    WaitTimeout,
)
from sentinel.fleet.submission import Submission
from sentinel.model import layout
from sentinel.model.codec import encode_document
from sentinel.model.task import Ending
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
