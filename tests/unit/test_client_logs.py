"""`Client` reads logs, and what holds for the connection itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.client import Client
from sentinel.errors import (
    BadInput,
    NotFound,
)
from sentinel.fleet.submission import Submission
from sentinel.model import layout
from sentinel.model.task import Ending, Task
from sentinel.store.memory import MemoryStore
from tests.unit.stage import Stage


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
