"""Whatever becomes of a request, at rest an issue has one right comment, its label, and is closed.

F7 to F10, F17 and F18 as they meet what is said on issues. The fleet is in memory, GitHub is the emulator
behind the proxy, and time is the test's.
"""

from __future__ import annotations

import pytest

from sentinel.errors import StoreError
from sentinel.model import layout
from sentinel.testing.checking.outbox import one_comment_each
from sentinel.testing.clock import ManualClock
from tests.github.conftest import MakeApi
from tests.github.emulator import Emulator, token
from tests.github.faults import Fault
from tests.github.people import People
from tests.github.proxy import Proxy
from tests.github.stage import DONE, Stage

COMMENT = "POST /repos/acme/fleet/issues/1/comments"
#: Every kind of failure of what must not be said twice, and two of all else that is sent or read.
CASES = [
    *(
        (COMMENT, fault)
        for fault in (
            Fault.RESET_BEFORE,
            Fault.RESET_AFTER,
            Fault.BAD_GATEWAY_BEFORE,
            Fault.BAD_GATEWAY_AFTER,
            Fault.HTML,
            Fault.HTML_AFTER,
            Fault.TORN,
            Fault.SECONDARY,
            Fault.SECONDARY_RETRY_AFTER,
            Fault.TOO_MANY,
            Fault.UNAUTHORISED,
        )
    ),
    *(
        (request, fault)
        for request in (
            "PATCH /repos/acme/fleet/issues/comments/",
            "POST /repos/acme/fleet/issues/1/labels",
            "DELETE /repos/acme/fleet/issues/1/labels/",
            "PATCH /repos/acme/fleet/issues/1$",
        )
        for fault in (Fault.RESET_AFTER, Fault.BAD_GATEWAY_BEFORE)
    ),
    (r"GET /repos/acme/fleet/issues\?", Fault.SECONDARY),
    ("GET /repos/acme/fleet/issues/1/comments", Fault.HTML),
]


@pytest.fixture
def people(emulator: Emulator) -> People:
    return People(emulator)


@pytest.fixture
def stage(make_api: MakeApi) -> Stage:
    clock = ManualClock()
    return Stage(clock=clock, hub=make_api(clock=clock))


def look(stage: Stage, steps: int = 14) -> None:
    """What the thread of duties does: a step, and another one after a while, whatever came of it."""
    for _ in range(steps):
        try:
            pause = stage.duties["w1"].tick()
        except StoreError as error:
            pause = max(5.0, getattr(error, "retry_after", 0.0))
        stage.clock.advance(pause)


def is_right(stage: Stage, people: People) -> None:
    """The state and GitHub tell the same."""
    entry = stage.transactor.store.read().get(layout.outbox_key(1))
    assert entry is not None
    one_comment_each(0.0, [entry], {1: people.comments(1)})
    assert people.labels(1) == {"sentinel", "sentinel:done"}
    assert people.issue(1)["state"] == "closed"
    assert [task.id for task in stage.executed] == ["issue-1"]


@pytest.mark.parametrize(
    ("request_", "fault"),
    CASES,
    ids=[f"{request.replace('/repos/acme/fleet', '')} {fault.value}" for request, fault in CASES],
)
def test_a_request_that_fails_changes_nothing_in_the_end(
    stage: Stage, people: People, proxy: Proxy, request_: str, fault: Fault
) -> None:
    proxy.fail(fault, request_, times=2)
    people.ask("word-count", path="docs")
    look(stage)
    stage.run(1, DONE)
    look(stage)
    is_right(stage, people)


def test_a_stale_list_of_comments_makes_a_double_that_is_removed(
    stage: Stage, people: People, proxy: Proxy
) -> None:
    people.ask("word-count", path="docs")
    stage.duties["w1"].tick()
    (first,) = people.comments(1)
    stage.bury("w1")
    stage.peer("w1")
    people.say(1, first[1], by="robot")
    assert len(people.answers(1)) == 2
    look(stage)
    assert [number for number, _ in people.comments(1)] == [first[0]]


def test_b11_the_token_is_in_nothing_that_was_sent_or_stored(
    stage: Stage, people: People, proxy: Proxy
) -> None:
    people.ask("word-count", path=token("robot"))
    look(stage)
    stage.run(1, DONE, log=token("robot").encode())
    look(stage)
    assert token("robot") not in people.answers(1)[0]
    assert token("robot") not in stage.audit()
