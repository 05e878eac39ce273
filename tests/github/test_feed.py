"""What one look at GitHub's lists brings, however much changed, and whatever changes meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sentinel.clock import rfc3339
from sentinel.github import feed
from sentinel.github.records import Seen
from tests.github.memory_hub import REPOSITORY, MemoryHub, Reply
from tests.github.stage import GOOD, Stage

#: Issues that changed, and that one look takes.
BURST, MOST = 450, 150


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are in GitHub's own bursts would only take longer."""
    monkeypatch.setattr(feed, "MOST", MOST)


def stamp(seconds: float) -> str:
    """A time of GitHub's."""
    return f"{rfc3339(1_795_000_000 + seconds)[:19]}Z"


def changed(hub: MemoryHub, *, seconds: int, count: int = BURST) -> None:
    """So many issues changed within ``seconds``, and on each somebody said something."""
    for number in range(count):
        issue = hub.open("nothing")
        comment = hub.say(issue, "/why")
        at = stamp(1_000 + number * seconds // count)
        hub.issues[issue]["updated_at"] = hub.comments[comment]["updated_at"] = at


def follow(hub: MemoryHub, seen: Seen, looks: int = 5) -> tuple[set[int], set[int], Seen]:
    """The issues and the comments that some looks bring, and where they lead."""
    issues: set[int] = set()
    comments: set[int] = set()
    for _ in range(looks):
        news = feed.look(hub, REPOSITORY, seen)
        issues |= news.issues.keys()
        comments |= {comment.id for comment in news.comments}
        seen = news.seen
    return issues, comments, seen


@pytest.mark.parametrize("seconds", [1, 30, 60, 600])
@pytest.mark.parametrize("first", [True, False])
def test_a_burst_of_more_than_one_look_takes_is_not_lost(seconds: int, *, first: bool) -> None:
    hub = MemoryHub()
    changed(hub, seconds=seconds)
    seen = Seen() if first else Seen(issues=stamp(0), comments=stamp(0))
    issues, comments, _ = follow(hub, seen)
    assert (len(issues), len(comments)) == (BURST, BURST)


@pytest.mark.parametrize("seconds", [1, 30, 60, 600])
def test_what_comes_after_a_burst_is_seen(seconds: int) -> None:
    hub = MemoryHub()
    changed(hub, seconds=seconds)
    _, _, seen = follow(hub, Seen(issues=stamp(0), comments=stamp(0)))
    hub.pass_time(5_000)
    number = hub.open(GOOD)
    assert number in follow(hub, seen, looks=1)[0]


def test_a_look_that_is_not_all_says_so() -> None:
    hub = MemoryHub()
    changed(hub, seconds=600)
    assert not feed.look(hub, REPOSITORY, Seen(issues=stamp(0), comments=stamp(0))).whole


def test_what_moves_up_while_pages_are_read_is_not_passed_over() -> None:
    class Busy(MemoryHub):
        """Somebody edits one of the oldest issues whenever a page was read."""

        def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Reply:
            answer = super().get(path, params)
            if path.endswith("/issues") and answer.body:
                self.issues[answer.body[0]["number"]]["updated_at"] = stamp(100_000)
            return answer

        def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
            for page in range(1, 100):
                found = self.get(path, {**(params or {}), "per_page": 100, "page": page}).body
                yield from found
                if len(found) < 100:
                    return

    hub = Busy()
    changed(hub, seconds=100_000)
    issues, _, _ = follow(hub, Seen(issues=stamp(0), comments=stamp(0)), looks=20)
    assert len(issues) == BURST


def test_a_quiet_repository_is_one_request_for_each_list() -> None:
    hub = MemoryHub()
    changed(hub, seconds=50, count=50)
    _, _, seen = follow(hub, Seen(issues=stamp(0), comments=stamp(0)))
    hub.read.clear()
    feed.look(hub, REPOSITORY, seen)
    assert hub.read == [f"{REPOSITORY}/issues", f"{REPOSITORY}/issues/comments"]


def test_a_burst_is_taken_in_whole() -> None:
    stage = Stage()
    numbers = [stage.hub.open(GOOD, by="mallory") for _ in range(BURST)]
    for number in numbers:
        stage.hub.issues[number]["updated_at"] = stamp(1_000)
    for _ in range(3):
        stage.clock.advance(30)
        stage.duties["w1"].tick()
    assert all(stage.has_task(number) for number in numbers)
