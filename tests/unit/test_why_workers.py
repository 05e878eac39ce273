"""``why`` for a task that waits: each worker's own ground, and the first demand that leaves nobody."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sentinel.client import Client
from sentinel.errors import BadInput
from sentinel.fleet.why import Code
from sentinel.model.task import ALONE_AFTER, Ending
from tests.unit.stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> Client:
    return stage.client()


def submit(client: Client, id: str = "t", **fields: Any) -> None:
    client.submit("shell", positional=["true"], id=id, **fields)


def grounds(client: Client, id: str = "t") -> dict[str, str | None]:
    return {verdict.worker: verdict.ground for verdict in client.why(id).workers}


def test_each_worker_has_its_own_ground(stage: Stage, client: Client) -> None:
    for name, fields in {
        "w1": {"types": ("other",)},
        "w2": {"region": "us-east-1"},
        "w3": {"region": "eu-west-1"},
        "w4": {"region": "eu-west-1", "capabilities": ("gpu",), "cordoned": True},
        "w5": {"region": "eu-west-1", "capabilities": ("gpu",)},
    }.items():
        stage.join(name, **fields)  # type: ignore[arg-type]  # a mapping of mixed fields
    submit(client, "first", affinity={"region": "eu-west-1", "capability": "gpu"})
    stage.claim("first", "w5")
    submit(client, affinity={"region": "eu-west-1", "capability": "gpu"})
    assert grounds(client) == {
        "w1": "type",
        "w2": "region",
        "w3": "capability",
        "w4": "cordon",
        "w5": "slots",
    }


@pytest.mark.parametrize(
    ("worker", "affinity", "code", "ground"),
    [
        ({"types": ("other",)}, {}, "no_capable_worker", "type"),
        ({"region": "us-east-1"}, {"region": "eu-west-1"}, "no_worker_in_region", "region"),
        ({}, {"capability": "gpu"}, "no_worker_with_capability", "capability"),
        ({"cordoned": True}, {}, "cordoned", "cordon"),
    ],
)
def test_the_first_demand_that_leaves_nobody_is_the_reason(
    stage: Stage, client: Client, worker: dict[str, Any], affinity: dict[str, str], code: Code, ground: str
) -> None:
    stage.join("w1", **worker)
    submit(client, affinity=affinity)
    assert (client.why("t").code, grounds(client)) == (code, {"w1": ground})


def test_a_worker_that_is_to_take_a_type_without_code_for_it_is_named_with_the_remedy(
    stage: Stage, client: Client
) -> None:
    stage.join("w1", types=(), unimplemented=("shell",))
    stage.join("w2", types=("other",))
    submit(client)
    reason = client.why("t")
    assert (reason.code, grounds(client)) == ("no_capable_worker", {"w1": "type", "w2": "type"})
    assert "w1 is to take it but has no code for it: name the module" in reason.text
    assert reason.workers[0].text == "it is to take shell but has no code for it"


def test_the_types_that_a_worker_has_no_code_for_are_in_its_row(stage: Stage, client: Client) -> None:
    stage.join("w1", unimplemented=("build", "test"))
    assert client.worker("w1").document()["unimplemented"] == ["build", "test"]


def test_a_type_that_a_worker_has_no_code_for_is_not_taken_in(stage: Stage, client: Client) -> None:
    stage.join("w1", unimplemented=("build",))
    with pytest.raises(BadInput, match="worker w1 is to take 'build'"):
        client.submit("build")


def test_a_worker_without_a_region_is_said_to_be_in_none(stage: Stage, client: Client) -> None:
    stage.join("w1")
    submit(client, affinity={"region": "eu-west-1"})
    assert client.why("t").workers[0].text == "it is in no region, not in eu-west-1"


@pytest.mark.parametrize(
    ("end", "ground"), [("left", "offline"), ("silent", "silent"), ("draining", "draining")]
)
def test_a_worker_that_takes_nothing_says_why(stage: Stage, client: Client, end: str, ground: str) -> None:
    submit(client)
    stage.join("w1")
    if end == "left":
        stage.leave("w1")
    elif end == "silent":
        stage.clock.advance(10.0)
    else:
        stage.beat("w1", status="draining")
    assert (client.why("t").code, grounds(client)) == ("no_live_worker", {"w1": ground})


def test_a_worker_that_has_not_beaten_yet_is_silent(stage: Stage, client: Client) -> None:
    submit(client)
    stage.join("w1", beats=False)
    assert grounds(client) == {"w1": "silent"}


def test_without_a_worker_there_is_no_ground(client: Client) -> None:
    submit(client)
    assert (client.why("t").code, grounds(client)) == ("no_live_worker", {})


def test_of_two_that_could_one_is_to_take_it(stage: Stage, client: Client) -> None:
    submit(client)
    stage.join("w1")
    stage.join("w2")
    assert grounds(client) == {"w1": None, "w2": "turn"}


def test_a_dependency_keeps_it_from_every_worker(stage: Stage, client: Client) -> None:
    submit(client, "first")
    submit(client, after=("first",))
    stage.join("w1")
    stage.join("w2", types=("other",))
    assert grounds(client) == {"w1": "dependency", "w2": "type"}


def test_a_backoff_keeps_it_from_every_worker_until_a_time(stage: Stage, client: Client) -> None:
    submit(client, retries=1)
    stage.join("w1")
    stage.join("w2")
    stage.claim("t", "w1")
    stage.end("t", Ending(cause="error", message="it broke"))
    reason = client.why("t")
    assert (reason.code, grounds(client)) == ("backoff", {"w1": "failed_here", "w2": "backoff"})
    assert reason.until is not None
    assert reason.until in reason.text


def test_a_task_that_runs_alone_is_kept_from_who_is_not_idle(stage: Stage, client: Client) -> None:
    submit(client)
    submit(client, "other")
    stage.join("w1", max_tasks=2)
    stage.claim("other", "w1")
    stage.rewrite(dataclasses.replace(stage.task("t"), losses=ALONE_AFTER))
    assert grounds(client) == {"w1": "alone"}


def test_a_task_behind_others_has_a_place_in_the_queue(stage: Stage, client: Client) -> None:
    submit(client, "first")
    stage.clock.advance(1.0)
    submit(client)
    stage.join("w1")
    assert (client.why("t").code, grounds(client)) == ("queued", {"w1": "queue"})


def test_a_task_that_runs_or_has_ended_needs_no_grounds(stage: Stage, client: Client) -> None:
    submit(client)
    stage.join("w1")
    stage.claim("t", "w1")
    running = client.why("t")
    stage.end("t")
    assert (running.workers, client.why("t").workers) == ((), ())


# -- orders ------------------------------------------------------------------------------------------


def test_a_cordoned_worker_is_shown_as_such(stage: Stage, client: Client) -> None:
    stage.join("w1")
    client.cordon_worker("w1")
    row = client.worker("w1")
    assert (row.status, row.cordoned) == ("cordoned", True)


def test_uncordoning_lifts_an_order_to_drain(stage: Stage, client: Client) -> None:
    incarnation = stage.join("w1")
    assert client.drain_worker("w1", 60.0) == incarnation
    client.uncordon_worker("w1")
    worker = stage.view().workers["w1"]
    assert (worker.cordoned, worker.drain, worker.drain_deadline) == (False, None, 0.0)


def test_draining_a_worker_that_does_not_run_leaves_it_cordoned(stage: Stage, client: Client) -> None:
    stage.join("w1")
    stage.leave("w1")
    assert client.drain_worker("w1", 60.0) is None
    assert stage.view().workers["w1"].cordoned


def test_an_order_that_is_given_twice_changes_nothing_the_second_time(stage: Stage, client: Client) -> None:
    stage.join("w1")
    client.cordon_worker("w1")
    revision = stage.view().snapshot.revision
    client.cordon_worker("w1")
    assert stage.view().snapshot.revision == revision


def test_a_rehearsed_order_changes_nothing(stage: Stage, client: Client) -> None:
    stage.join("w1")
    client.cordon_worker("w1", dry_run=True)
    assert not stage.view().workers["w1"].cordoned


def test_waiting_for_a_drained_worker_ends_when_it_has_left(stage: Stage, client: Client) -> None:
    incarnation = stage.join("w1")
    stage.leave("w1")
    client.wait_until_gone(incarnation)
    assert not client.view().live(incarnation)


def test_the_load_score_of_a_worker_is_what_balancers_compare(stage: Stage, client: Client) -> None:
    stage.join("w1", max_tasks=4)
    submit(client)
    stage.claim("t", "w1")
    stage.beat("w1", cpu_percent=50.0)
    assert client.worker("w1").load_score == 7.0
