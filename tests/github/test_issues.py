"""Issues as tasks: taken in once, and answered in one comment, a label, and by closing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from sentinel.errors import Unavailable
from sentinel.github.errors import Limited
from sentinel.github.hub import Enquiry
from sentinel.store.base import Outcome, Refused, Transaction
from sentinel.store.memory import MemoryStore
from tests.github.hostile import block
from tests.github.memory_hub import REPOSITORY, MemoryHub
from tests.github.stage import DONE, FAILED, GOOD, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_writers_issue_waits_for_a_worker(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    assert (stage.task(number).state, stage.task(number).args) == ("pending", {"path": "docs"})


def test_the_task_says_where_it_came_from(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    source = stage.task(number).source
    assert source is not None
    assert (source.kind, source.name, source.author, source.login) == ("issue", str(number), 3, "alice")


def test_an_issue_without_the_label_is_left_alone(stage: Stage) -> None:
    number = stage.hub.open(GOOD, labels=())
    stage.look()
    assert (stage.has_task(number), stage.hub.answers(number), stage.hub.sent) == (False, [], [])


def test_an_issue_that_gets_the_label_later_is_taken_in(stage: Stage) -> None:
    number = stage.hub.open(GOOD, labels=())
    stage.look()
    stage.hub.label(number, "sentinel", by="alice")
    stage.look()
    assert stage.task(number).state == "pending"


def test_a_closed_issue_is_not_taken_in(stage: Stage) -> None:
    stage.hub.open(GOOD)
    stage.look()
    number = stage.hub.open(GOOD)
    stage.hub.close(number)
    stage.look()
    assert not stage.has_task(number)


def test_looking_again_changes_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    revision, sent = stage.view().snapshot.revision, list(stage.hub.sent)
    stage.hub.pass_time(600)
    stage.look()
    assert (stage.view().snapshot.revision, stage.hub.sent) == (revision, sent)
    assert len(stage.hub.answers(number)) == 1


def test_done_is_said_in_one_comment_with_the_result(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, DONE, log=b"counting\nseven\n")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert "is done" in answer
    assert '"words": 7' in answer
    assert "counting\nseven" in answer


def test_done_closes_the_issue_and_says_so_by_its_label(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number)
    stage.look()
    assert (stage.hub.state(number), stage.hub.labels(number)) == ("closed", {"sentinel", "sentinel:done"})


def test_the_comment_is_edited_and_not_repeated(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, None)
    stage.look()
    assert "is running" in stage.hub.answers(number)[0]
    stage.end("issue-1", DONE)
    stage.look()
    assert len(stage.hub.answers(number)) == 1


def test_each_state_has_its_label_and_only_that(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    seen = []
    for step in (lambda: None, lambda: stage.run(number, None), lambda: stage.end("issue-1", FAILED)):
        step()
        stage.look()
        seen.append(sorted(stage.hub.labels(number)))
    assert seen == [["sentinel", f"sentinel:{state}"] for state in ("pending", "running", "failed")]


def test_what_happened_between_two_looks_is_said_once(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.sent.clear()
    stage.run(number, None)
    stage.end("issue-1", DONE)
    stage.look()
    edits = [sent for sent in stage.hub.sent if sent.startswith("PATCH repos/acme/fleet/issues/comments")]
    assert len(edits) == 1


def test_a_failed_issue_stays_open_with_error_attempts_log_and_remedy(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED, log=b"line one\nboom\n")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert stage.hub.state(number) == "open"
    for part in ("error: it broke", "| 1 | `w1` |", "boom", "`/retry`"):
        assert part in answer


def after(*names: str) -> str:
    return block(json.dumps({"type": "word-count", "args": {"path": "x"}, "after": names}))


def test_an_issue_may_run_after_another_of_the_same_look(stage: Stage) -> None:
    first, second = stage.hub.open(after("issue-2")), stage.hub.open(GOOD)
    stage.look()
    assert (stage.task(first).after, stage.task(second).state) == (("issue-2",), "pending")


def test_a_chain_of_issues_of_the_same_look_is_taken_in_whole(stage: Stage) -> None:
    numbers = [stage.hub.open(after(f"issue-{number + 1}")) for number in range(1, 6)]
    numbers.append(stage.hub.open(GOOD))
    stage.look()
    assert [stage.has_task(number) for number in numbers] == [True] * 6


def test_what_is_edited_while_its_issue_is_closed_starts_nothing(stage: Stage) -> None:
    number = stage.hub.open("no block")
    stage.look()
    stage.hub.close(number)
    stage.look()
    stage.hub.edit(number, GOOD)
    stage.look()
    assert not stage.has_task(number)
    stage.hub.reopen(number)
    stage.look()
    assert stage.task(number).state == "pending"


def test_what_is_edited_after_its_label_was_taken_away_starts_nothing(stage: Stage) -> None:
    number = stage.hub.open("no block")
    stage.look()
    stage.hub.unlabel(number, "sentinel")
    stage.hub.edit(number, GOOD)
    stage.look()
    assert not stage.has_task(number)


def test_what_was_decided_before_github_refused_more_is_taken_in() -> None:
    class Refusing(MemoryHub):
        """Refuses what is asked of the third issue, as it refuses the nine-hundredth request of a minute."""

        def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
            if path.endswith("/issues/3/events"):
                raise Limited("too many requests", 60.0)
            return super().pages(path, params)

    hub = Refusing()
    stage = Stage()
    duty = stage.peer("w2", hub=hub)
    numbers = [hub.open(GOOD) for _ in range(3)]
    with pytest.raises(Limited):
        duty.tick()
    assert [stage.has_task(number) for number in numbers] == [True, True, False]


def test_an_issue_that_cannot_be_judged_keeps_no_other_from_being_taken_in_and_answered() -> None:
    class Failing(MemoryHub):
        """Has an error of its own on the first issue."""

        def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
            if path.endswith("/issues/1/events"):
                raise Unavailable("an error of GitHub's own")
            return super().pages(path, params)

    hub = Failing()
    stage = Stage()
    duty = stage.peer("w2", hub=hub)
    numbers = [hub.open(GOOD) for _ in range(2)]
    for _ in range(3):
        with pytest.raises(Unavailable):
            duty.tick()
    assert [stage.has_task(number) for number in numbers] == [False, True]
    assert len(hub.answers(2)) == 1


def test_an_issue_that_was_moved_to_another_repository_is_gone() -> None:
    hub = MemoryHub()
    here, there = hub.open(GOOD), hub.open(GOOD)
    hub.issues[here] = hub.issues[there]  # what GitHub shows when it is asked for the old number
    assert Enquiry(hub, REPOSITORY).issue(here) is None


def test_an_issue_that_the_store_refuses_is_told_so() -> None:
    class Guarded(MemoryStore):
        """Takes no text with a token in it, as GitHub's push protection."""

        def commit(self, transactions: Sequence[Transaction]) -> list[Outcome]:
            outcomes: list[Outcome] = []
            for transaction in transactions:
                if "ghp_" in str(transaction.write):
                    outcomes.append(Refused("push declined due to a detected secret"))
                else:
                    outcomes += super().commit([transaction])
            return outcomes

    stage = Stage()
    duty = stage.peer("w2", store=Guarded(stage.fleet))
    number = stage.hub.open(GOOD.replace("docs", "ghp_0123456789abcdefghij"))
    for _ in range(3):
        duty.tick()
    assert "detected secret" in stage.hub.answers(number)[0]


def test_issues_that_cannot_be_answered_keep_no_other_from_being_answered(stage: Stage) -> None:
    stuck, other = [stage.hub.open(GOOD) for _ in range(3)], stage.hub.open(GOOD)

    def refuse(method: str, path: str) -> None:
        if any(path.endswith(f"/issues/{number}/comments") for number in stuck):
            raise Unavailable("an error of GitHub's own")

    stage.hub.before = refuse
    for _ in range(2):
        with contextlib.suppress(Unavailable):
            stage.look()
    assert len(stage.hub.answers(other)) == 1


def test_two_issues_that_wait_for_each_other_are_both_refused(stage: Stage) -> None:
    numbers = stage.hub.open(after("issue-2")), stage.hub.open(after("issue-1"))
    stage.look()
    assert [stage.has_task(number) for number in numbers] == [False, False]
    assert all("there is no such task" in stage.hub.answers(number)[0] for number in numbers)
