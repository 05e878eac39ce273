"""Files of the default branch as the API shows them, from copies that lag behind."""

from __future__ import annotations

import json

import pytest

from sentinel.testing.clock import ManualClock
from tests.github.conftest import MakeApi
from tests.github.emulator import Emulator
from tests.github.faults import Fault
from tests.github.people import People
from tests.github.proxy import Proxy
from tests.github.stage import Stage

PATH = ".sentinel/tasks/count.json"
HEAD = r"GET .*/commits\?per_page=1"


def file(path: str) -> str:
    return json.dumps({"id": "count", "type": "word-count", "args": {"path": path}})


@pytest.fixture
def people(emulator: Emulator) -> People:
    return People(emulator)


@pytest.fixture
def stage(make_api: MakeApi) -> Stage:
    clock = ManualClock()
    return Stage(clock=clock, hub=make_api(clock=clock))


def look(stage: Stage) -> None:
    stage.clock.advance(301)
    stage.look(steps=2)


def test_a_merged_file_is_a_task(stage: Stage, people: People, proxy: Proxy) -> None:
    people.merge(PATH, file("docs"))
    look(stage)
    assert stage.task_named("count").args == {"path": "docs"}


def test_a_stale_read_of_the_branch_starts_no_older_text(stage: Stage, people: People, proxy: Proxy) -> None:
    for path in ("docs", "src"):
        people.merge(PATH, file(path))
        look(stage)
        stage.run_task("count")
    proxy.fail(Fault.STALE, HEAD, times=None)
    look(stage)
    assert (stage.task_named("count").run, stage.task_named("count").args) == (2, {"path": "src"})


def test_a_stale_read_of_the_branch_withdraws_nothing(stage: Stage, people: People, proxy: Proxy) -> None:
    people.merge("README.md", "hello")
    look(stage)
    people.merge(PATH, file("docs"))
    look(stage)
    proxy.fail(Fault.STALE, HEAD, times=None)
    look(stage)
    assert stage.task_named("count").state == "pending"


def test_a_branch_on_which_nothing_was_merged_costs_nothing(
    stage: Stage, people: People, proxy: Proxy
) -> None:
    people.merge(PATH, file("docs"))
    look(stage)
    proxy.ledger.clear()
    look(stage)
    assert [call.charged for call in proxy.ledger.of("GET", "/commits?")] == [False, False]
    assert proxy.ledger.of("GET", "/git/") == []
