"""The landing loop that the stores far away share: what is refused, and what is still open."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from sentinel.errors import OutcomeUnknown, Rejected, Unavailable
from sentinel.model.codec import Document
from sentinel.store import landing
from sentinel.store.base import ABSENT, Committed, Conflicted, Expected, Refused, Snapshot, Transaction
from sentinel.store.history import Range
from sentinel.store.landing import Delivery, Elsewhere, Landed, Landing, Sent


class Empty(Snapshot):
    """A state in which there is nothing, or just one key."""

    def __init__(self, revision: str, key: str = "") -> None:
        self.revision = revision
        self._key = key

    def get(self, key: str) -> Document | None:
        raise AssertionError("nobody reads it")

    def list(self, prefix: str) -> Iterator[str]:
        raise AssertionError("nobody lists it")

    def version(self, key: str) -> Expected:
        return "somebody's" if key == self._key else ABSENT


class Told:
    """A place that does what a test tells it, and writes down what it was asked."""

    name = "the branch"

    def __init__(self) -> None:
        self.head = Empty("r0")
        self.last: Empty | None = self.head
        self.built: list[tuple[str, tuple[str, ...]]] = []
        #: What comes of each commit that is built, and of each that is sent, first to last; then all is well.
        self.builds: list[Exception | None] = []
        self.deliveries: list[Delivery | Exception] = []
        self.sent: list[bool] = []
        self.history: dict[str, Range] = {}
        self._revisions = itertools.count(1)

    def known(self) -> Empty | None:
        return self.last

    def newest(self) -> Empty:
        self.last = self.head
        return self.head

    def build(self, base: Empty, transactions: tuple[Transaction, ...]) -> Sent:
        self.built.append((base.revision, tuple(tx.id for tx in transactions)))
        error = self.builds.pop(0) if self.builds else None
        if error is not None:
            raise error
        return Sent(base=base.revision, revision=f"c{next(self._revisions)}", transactions=transactions)

    def deliver(self, sent: Sent, *, again: bool) -> Delivery:
        self.sent.append(again)
        delivery = self.deliveries.pop(0) if self.deliveries else Landed()
        if isinstance(delivery, Exception):
            raise delivery
        return delivery

    def search(self, head: Empty, sent: Sent) -> Range:
        return self.history[sent.revision]


def create(name: str) -> Transaction:
    return Transaction(name, {f"tasks/{name}": ABSENT}, {f"tasks/{name}": {"n": 1}}, f"create {name}")


@pytest.fixture
def place() -> Told:
    return Told()


@pytest.fixture
def loop(place: Told) -> Landing[Empty, Sent]:
    return Landing(place, lambda: iter([None] * 5))


Loop = Landing[Empty, Sent]


def test_a_batch_shares_a_commit(place: Told, loop: Loop) -> None:
    assert loop.commit([create("a"), create("b")]) == [Committed("c1")] * 2
    assert place.built == [("r0", ("a", "b"))]


def test_what_landed_before_is_not_sent_again(place: Told, loop: Loop) -> None:
    loop.commit([create("a")])
    assert loop.commit([create("a")]) == [Committed("c1")]
    assert len(place.sent) == 1


def test_what_can_be_stored_nowhere_is_refused_and_nothing_is_sent(place: Told, loop: Loop) -> None:
    bad = Transaction("x", {"tasks/x": ABSENT}, {"tasks/x": {"n": float("nan")}}, "create x")
    (outcome,) = loop.commit([bad])
    assert (type(outcome), place.built) == (Refused, [])


def test_only_the_culprit_is_refused(place: Told, loop: Loop) -> None:
    # All, the first two, the third, the fourth.
    place.deliveries = [Refused("no"), Landed(), Refused("no"), Landed(), Refused("no")]
    outcomes = loop.commit([create(name) for name in "abcd"])
    assert [type(outcome) for outcome in outcomes] == [Committed, Committed, Committed, Refused]


def test_a_refusal_in_building_that_is_not_repeated_is_none(place: Told, loop: Loop) -> None:
    place.builds = [Rejected("it does not know the parent")]
    assert loop.commit([create("a")]) == [Committed("c1")]


def test_a_refusal_in_building_that_is_repeated_counts(place: Told, loop: Loop) -> None:
    place.builds = [Rejected("a secret was found")] * 2
    assert loop.commit([create("a")]) == [Refused("a secret was found")]


def test_a_refusal_in_building_is_judged_on_the_newest_state(place: Told, loop: Loop) -> None:
    place.builds = [Rejected("it does not know the parent")]
    place.head = Empty("r1", "tasks/a")
    assert loop.commit([create("a")]) == [Conflicted(("tasks/a",))]


def test_of_a_batch_that_is_refused_in_building_only_the_culprit_is(place: Told, loop: Loop) -> None:
    no = Rejected("a secret was found")
    place.builds = [no, None, no, no]
    outcomes = loop.commit([create("a"), create("b")])
    assert outcomes == [Committed("c1"), Refused("a secret was found")]


def test_what_did_not_land_is_judged_on_the_newest_state(place: Told, loop: Loop) -> None:
    place.deliveries = [Elsewhere()]
    place.last, place.head = place.head, Empty("r1", "tasks/a")

    def seen(sent: Sent, *, again: bool) -> Delivery:
        place.newest()
        return Elsewhere()

    place.deliver = seen  # type: ignore[method-assign]  # as a delivery that looks
    assert loop.commit([create("a")]) == [Conflicted(("tasks/a",))]


def test_against_competitors_it_gives_up_at_last(place: Told, loop: Loop) -> None:
    place.deliveries = [Elsewhere()] * 5
    with pytest.raises(Unavailable, match="at every try"):
        loop.commit([create("a")])


def unknown(loop: Loop, place: Told, name: str) -> None:
    """A transaction whose fate is open."""
    place.deliveries = [OutcomeUnknown("no answer")]
    with pytest.raises(OutcomeUnknown):
        loop.commit([create(name)])


def test_what_is_open_is_looked_for_when_it_is_sent_again(place: Told, loop: Loop) -> None:
    unknown(loop, place, "a")
    assert loop.commit([create("a")]) == [Committed("c1")]
    assert (place.sent, len(place.built), loop.open) == ([False, True], 1, 0)


@pytest.mark.parametrize(("found", "left"), [(Range.FOUND, 0), (Range.MISSING, 0), (Range.UNREADABLE, 1)])
def test_what_nobody_asks_for_any_more_is_settled_by_what_came_after(
    place: Told, loop: Loop, found: Range, left: int
) -> None:
    unknown(loop, place, "a")
    place.history["c1"] = found
    loop.settle(Empty("r7"))
    assert loop.open == left


def test_what_turned_out_to_have_landed_says_so(place: Told, loop: Loop) -> None:
    unknown(loop, place, "a")
    place.history["c1"] = Range.FOUND
    loop.settle(Empty("r7"))
    assert loop.commit([create("a")]) == [Committed("c1")]
    assert place.sent == [False]


def test_while_the_head_is_its_base_it_stays_open(place: Told, loop: Loop) -> None:
    unknown(loop, place, "a")
    loop.settle(place.head)
    assert loop.open == 1


def test_what_is_open_is_bounded(place: Told, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "MOST_OPEN", 3)
    for number in range(9):
        unknown(loop, place, f"t{number}")
    assert loop.open == 3
