"""What ended long ago goes in small steps; nothing that is needed, unfinished or young ever does."""

from __future__ import annotations

import dataclasses
import random

import pytest

from sentinel.errors import NotFound
from sentinel.fleet import retention, tasks
from sentinel.fleet.retention import Age, Found, alone
from sentinel.model.layout import RETENTION, done_key
from sentinel.model.origin import Source
from sentinel.model.retention import PERIOD, Day, Retention, Terms
from sentinel.model.task import Task
from sentinel.store.base import ABSENT, PARTS, Conflicted, Transaction
from tests.unit.builders import FAILED, WALL, Bench, as_stored, ended, evolve, running, task

WEEK = Terms(seconds=7 * 86_400.0, count=1_000)
#: Marks after which a week is over.
OVER = 339


def marked(bench: Bench, mark: int, *condemned: str) -> Retention:
    """The retention's record as stored, at that mark."""
    if bench.change().holds(RETENTION):
        bench.drop(RETENTION)
    revs = (1,) * len(condemned)
    record = Retention(mark=mark, by="w1", incarnation="inc1", condemned=condemned, revs=revs)
    assert bench.lands(bench.change().put(RETENTION, record).transaction("mark"))
    return stored(bench)


def stored(bench: Bench) -> Retention:
    found = retention.retention_in(bench.snapshot())
    assert found is not None
    return found


def examine(bench: Bench, record: Retention, oldest_kept: Age | None = None) -> Found:
    """A look at all ended tasks."""
    whole = Found()
    parts = iter(range(PARTS))
    while (found := retention.examine(bench.snapshot(), parts, record, WEEK, oldest_kept)).parts:
        whole.over += found.over
        whole.unmarked += found.unmarked
        whole.ages += found.ages
    return whole


def step(bench: Bench, found: Found, needed: frozenset[str] = frozenset()) -> Transaction | None:
    """One step, decided now."""
    return retention.step(
        bench.change(),
        bench.snapshot(),
        stored(bench),
        found.over,
        found.unmarked,
        needed.__contains__,
        alone,
        by="w1",
    )


def old(name: str = "old", **fields: object) -> Task:
    return evolve(ended(name), mark=1, finished_at="2026-11-01T00:00:00.000000Z", **fields)


@pytest.mark.parametrize(("now", "over"), [(OVER, False), (OVER + 1, True)])
def test_a_task_is_over_when_so_many_marks_have_been_made_since(now: int, over: bool) -> None:
    assert WEEK.over(1, now) is over


def test_the_marks_of_a_week_and_the_slack_take_a_week_and_some() -> None:
    assert WEEK.seconds <= (OVER - 1) * PERIOD


def test_a_short_retention_has_shorter_periods() -> None:
    assert Terms(seconds=600.0, count=1).period == 150.0


def test_a_task_keeps_the_mark_that_it_ended_under(bench: Bench) -> None:
    marked(bench, 7)
    bench.put(running("build"))
    change = bench.change()
    tasks.write_task(change, ended("build"))
    bench.lands(change.transaction("finish"))
    assert bench.stored_task("build").mark == 7


def test_a_task_that_runs_anew_has_no_mark(bench: Bench) -> None:
    marked(bench, 7)
    bench.put(evolve(ended("build", FAILED), mark=3))
    bench.lands(tasks.retry(bench.change(), bench.snapshot(), "build", wall=WALL, by="ann")[0])
    assert bench.stored_task("build").mark == 0


def test_what_ends_before_anybody_made_a_mark_has_none(bench: Bench) -> None:
    change = bench.change()
    tasks.write_task(change, ended("build"))
    bench.lands(change.transaction("finish"))
    assert bench.stored_task("build").mark == 0


def test_what_is_over_is_found_and_what_is_young_is_not(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(old("old"), evolve(ended("young"), mark=2), running("busy"))
    assert [each.id for each in examine(bench, record).over] == ["old"]


def test_what_ended_without_a_mark_is_given_the_present_one_and_is_not_over(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(ended("early"))
    found = examine(bench, record)
    assert bench.lands(step(bench, found))
    assert (found.over, bench.stored_task("early").mark) == ([], OVER + 1)


def test_the_first_step_condemns_and_the_next_removes(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(old())
    assert bench.lands(step(bench, examine(bench, record)))
    condemned, there = stored(bench).condemned, bench.snapshot().version(done_key("old")) is not ABSENT
    assert bench.lands(step(bench, Found()))
    assert (condemned, there, bench.snapshot().version(done_key("old")), stored(bench).condemned) == (
        ("old",),
        True,
        ABSENT,
        (),
    )


def test_what_was_pruned_is_counted_and_named_in_the_audit(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(old())
    transaction = step(bench, Found())
    assert transaction is not None
    bench.lands(transaction)
    assert (transaction.note, stored(bench).pruned) == ("prune old, by w1", 1)


def test_a_step_without_anything_to_do_is_none(bench: Bench) -> None:
    marked(bench, 5)
    assert step(bench, Found()) is None


def test_what_an_active_task_is_to_run_after_is_not_condemned(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(old())
    assert step(bench, examine(bench, record), frozenset({"old"})) is None


def test_what_an_active_task_is_to_run_after_is_not_removed(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(old())
    assert bench.lands(step(bench, Found(), frozenset({"old"})))
    assert (bench.stored_task("old").id, stored(bench).condemned) == ("old", ())


def test_no_task_can_be_made_to_run_after_a_condemned_one(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(old())
    with pytest.raises(NotFound, match="being pruned"):
        tasks.submit(bench.change(), bench.snapshot(), task("next", after=("old",)), wall=WALL)


def test_a_task_that_is_to_run_after_one_that_was_condemned_meanwhile_does_not_land(bench: Bench) -> None:
    marked(bench, OVER + 1)
    bench.put(old())
    late, _ = tasks.submit(bench.change(), bench.snapshot(), task("next", after=("old",)), wall=WALL)
    bench.lands(step(bench, examine(bench, stored(bench))))
    assert bench.commit(late) == Conflicted((RETENTION,))


def test_a_failed_task_cannot_be_retried_without_what_it_was_to_run_after(bench: Bench) -> None:
    bench.put(evolve(ended("build", FAILED), after=("gone",)))
    with pytest.raises(NotFound, match="gone"):
        tasks.retry(bench.change(), bench.snapshot(), "build", wall=WALL, by="ann")


def test_a_condemned_task_that_runs_again_stays(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(task("old"))
    assert bench.lands(step(bench, Found()))
    assert bench.stored_task("old").state == "pending"


def test_a_condemned_task_that_ran_again_and_has_ended_stays(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(evolve(ended("old", FAILED), mark=1))
    assert bench.lands(step(bench, examine(bench, record)))
    bench.lands(tasks.retry(bench.change(), bench.snapshot(), "old", wall=WALL, by="ann")[0])
    bench.lands(tasks.cancel(bench.change(), bench.snapshot(), "old", wall=WALL, reason="no")[0])
    bench.lands(step(bench, Found()))
    assert (bench.stored_task("old").state, bench.stored_task("old").mark) == ("cancelled", OVER + 1)


def test_what_ran_again_since_it_was_looked_at_is_not_condemned(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(evolve(ended("old", FAILED), mark=1))
    found = examine(bench, record)
    bench.lands(tasks.retry(bench.change(), bench.snapshot(), "old", wall=WALL, by="ann")[0])
    bench.lands(tasks.cancel(bench.change(), bench.snapshot(), "old", wall=WALL, reason="no")[0])
    assert step(bench, found) is None


def test_what_was_pruned_and_handed_in_anew_since_it_was_looked_at_is_not_condemned(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    bench.put(old())
    found = examine(bench, record)
    before = bench.stored_task("old")
    bench.put(evolve(old(), mark=OVER + 1))
    assert bench.stored_task("old").rev == before.rev
    assert step(bench, found) is None


def test_a_step_that_was_decided_before_a_retry_does_not_land(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(evolve(ended("old", FAILED), mark=1))
    late = step(bench, Found())
    bench.lands(tasks.retry(bench.change(), bench.snapshot(), "old", wall=WALL, by="ann")[0])
    assert not bench.lands(late)


def test_of_two_that_prune_one_lands(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(old())
    first, second = step(bench, Found()), step(bench, Found())
    assert (bench.lands(first), bench.lands(second)) == (True, False)


def test_a_task_that_came_from_an_issue_stays_while_nobody_says_what_goes_with_it(bench: Bench) -> None:
    record = marked(bench, OVER + 1)
    source = Source(kind="issue", name="12", author=1, login="ann")
    bench.put(old(source=source))
    assert step(bench, examine(bench, record)) is None


def test_what_goes_together_with_a_task_goes_in_the_same_transaction(bench: Bench) -> None:
    marked(bench, OVER + 1, "old")
    bench.put(old(), ended("companion"))
    transaction = retention.step(
        bench.change(),
        bench.snapshot(),
        stored(bench),
        [],
        [],
        lambda _: False,
        lambda snapshot, task: (done_key("companion"),),
        by="w1",
    )
    assert transaction is not None
    assert {done_key("old"), done_key("companion")} < transaction.write.keys()


def test_beyond_the_number_the_oldest_go_however_young(bench: Bench) -> None:
    record = marked(bench, 5)
    bench.put(evolve(ended("older"), mark=3), evolve(ended("newer"), mark=5))
    assert [each.id for each in examine(bench, record, Age(5, "")).over] == ["older"]


def test_the_cut_keeps_at_least_the_number(bench: Bench) -> None:
    rng = random.Random(5)
    for _ in range(200):
        ages = {Age(rng.randrange(6), str(rng.randrange(3))): rng.randrange(1, 9) for _ in range(8)}
        count = rng.randrange(1, 40)
        cut = retention.cut(ages, count)
        kept = sum(number for each, number in ages.items() if cut is None or each >= cut)
        if cut is not None:
            assert kept > count
            assert kept - ages[cut] <= count
        else:
            assert kept <= count or sum(ages.values()) <= count


def test_nothing_is_cut_while_there_are_no_more_than_the_number() -> None:
    assert retention.cut({Age(1, ""): 5, Age(2, ""): 5}, 10) is None


def test_a_mark_follows_the_one_before_and_names_who_prunes(bench: Bench) -> None:
    record = marked(bench, 4, "x")
    made = retention.make_mark(bench.change(), record, {}, worker="w2", incarnation="inc2", wall=WALL)
    bench.lands(made)
    now = stored(bench)
    assert (now.mark, now.by, now.incarnation, now.condemned) == (5, "w2", "inc2", ("x",))


def test_a_day_whose_artifacts_did_not_change_for_so_long_is_over(bench: Bench) -> None:
    record = dataclasses.replace(
        marked(bench, OVER + 1), days={"2026-11-01": Day("v", 1), "2026-11-02": Day("w", 9)}
    )
    assert list(retention.over_days(record, WEEK)) == [("2026-11-01", "v")]


def test_a_day_is_as_young_as_its_last_change(bench: Bench) -> None:
    record = dataclasses.replace(
        marked(bench, 4), days={"a": Day("v", 1), "b": Day("v", 1), "gone": Day("v", 1)}
    )
    bench.lands(
        retention.make_mark(
            bench.change(), record, {"a": "v", "b": "w", "new": "x"}, worker="w", incarnation="i", wall=WALL
        )
    )
    assert stored(bench).days == {"a": Day("v", 1), "b": Day("w", 5), "new": Day("x", 5)}


def test_days_stay_as_they_were_seen_when_nobody_can_tell_now(bench: Bench) -> None:
    record = dataclasses.replace(marked(bench, 4), days={"a": Day("v", 1)})
    bench.lands(retention.make_mark(bench.change(), record, None, worker="w", incarnation="i", wall=WALL))
    assert stored(bench).days == {"a": Day("v", 1)}


def test_the_record_is_read_as_it_was_written() -> None:
    record = Retention(
        mark=3,
        by="w",
        incarnation="i",
        at="t",
        stood=7,
        condemned=("a",),
        revs=(4,),
        days={"d": Day("v", 2)},
        pruned=9,
    )
    assert Retention.load(RETENTION, as_stored(record)) == record
