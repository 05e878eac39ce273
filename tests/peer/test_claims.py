"""What a chooser keeps from look to look is what it would find if it looked at everything again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.fleet.balancers import Candidate, find
from sentinel.fleet.candidates import ready
from sentinel.fleet.view import Reader
from sentinel.model.lease import LeaseTimes
from sentinel.model.task import Task
from sentinel.peer.claims import Chooser
from sentinel.peer.options import PeerOptions
from tests.unit.builders import FAILED, Bench, ended, evolve, running, task, worker

OPTIONS = PeerOptions(
    worker="w1",
    times=LeaseTimes(2.0, 10.0),
    max_tasks=2,
    types=frozenset({"work"}),
    balancer=find("least_loaded"),
)
NAMES = ("a", "b", "c", "d")


def record(name: str, kind: str) -> Task:
    """A task in one of the states that matter for whether it is ready."""
    after = () if name == "a" else (NAMES[NAMES.index(name) - 1],)
    match kind:
        case "waits":
            return task(name)
        case "after":
            return task(name, after=after)
        case "backs off":
            return evolve(task(name), backoff=3.0)
        case "after and backs off":
            return evolve(task(name, after=after), backoff=3.0)
        case "runs":
            return running(name)
        case "done":
            return ended(name)
    return ended(name, FAILED)


class Looker:
    """A chooser that looks at a fleet in memory, and the fleet."""

    def __init__(self) -> None:
        self.bench, self.reader, self.chooser = Bench(), Reader(), Chooser(OPTIONS)
        self.bench.put(worker("w1"))

    def put(self, name: str, kind: str) -> None:
        """Make the task one of this kind, whatever it was."""
        there = [key for key in (f"tasks/{name}", f"done/{name}") if self.bench.snapshot().get(key)]
        self.bench.drop(*there)
        self.bench.put(record(name, kind))

    def look(self, *, missed: bool = False) -> None:
        """One look; or a view that is made and never looked at."""
        view = self.reader.view(self.bench.snapshot())
        if not missed:
            now = self.bench.clock.now()
            self.chooser.look(view, sent=now, reply=now)

    def afresh(self) -> set[str]:
        """Ids of what is ready, found from the whole state."""
        return {each.id for each in ready(self.bench.view(), self.chooser.waited)}


KINDS = ("waits", "after", "backs off", "after and backs off", "runs", "done", "failed")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(KINDS), st.sampled_from([0.0, 1.0, 4.0]), st.booleans()
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_waits_is_kept_from_look_to_look_as_it_would_be_found_anew(
    steps: list[tuple[str, str, float, bool]],
) -> None:
    looker = Looker()
    for name, kind, passes, missed in steps:
        looker.put(name, kind)
        looker.look(missed=missed)
        looker.bench.clock.advance(passes)
        looker.look()
        assert {each.id for each in looker.chooser.waiting} == looker.afresh()


def test_a_task_is_ready_again_when_what_it_runs_after_is_done_a_second_time() -> None:
    looker = Looker()
    seen = []
    for kind in ("done", "runs", "done"):
        looker.put("a", kind)
        looker.put("b", "after")
        looker.look()
        seen.append("b" in looker.chooser.waiting)
    assert seen == [True, False, True]


@pytest.mark.parametrize(
    ("waits", "nothing"),
    [
        ({"type": "work"}, False),
        ({"type": "other"}, True),
        ({"type": "work", "affinity": {"region": "elsewhere"}}, True),
        ({"type": "work", "after": ("missing",)}, True),
    ],
)
def test_nothing_waits_where_no_task_is_for_this_worker(waits: dict[str, object], nothing: bool) -> None:
    looker = Looker()
    looker.bench.put(task("t", **waits))
    looker.look()
    assert looker.chooser.nothing_waits is nothing


def test_a_task_that_backs_off_is_no_reason_to_leave() -> None:
    looker = Looker()
    looker.put("a", "backs off")
    looker.look()
    assert (looker.chooser.nothing_waits, len(looker.chooser.waiting)) == (False, 0)


def test_a_task_whose_claim_was_refused_for_good_is_not_chosen_again_until_it_changes() -> None:
    looker = Looker()
    looker.put("a", "waits")
    looker.look()
    (waiting,) = looker.chooser.waiting
    looker.chooser.pass_by("a", waiting.rev)
    seen = ["a" in looker.chooser.waiting]
    changed = looker.bench.change().put("tasks/a", evolve(waiting, priority="high"))
    assert looker.bench.lands(changed.transaction("change it"))
    looker.look()
    assert [*seen, "a" in looker.chooser.waiting] == [False, True]


def test_a_claim_is_chosen_from_what_waits() -> None:
    looker = Looker()
    for name in ("a", "b", "c"):
        looker.put(name, "waits")
    looker.look()
    me = Candidate(id="w1", types=frozenset({"work"}), active=0, max_tasks=2)
    chosen = looker.chooser.choose(
        looker.reader.view(looker.bench.snapshot()), [me], set(), led=False, patience=1.0
    )
    assert len(chosen) == 2 == len({each.id for each in chosen} & {"a", "b", "c"})
