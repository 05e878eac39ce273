"""Failover in two steps: who may be failed over, the seal that forbids beats, the burial that frees work."""

from __future__ import annotations

import pytest

from sentinel.fleet import failover
from sentinel.fleet.failover import Suspect
from sentinel.fleet.proof import DeathProof, NoProof
from sentinel.model.layout import session_register
from sentinel.model.worker import Incarnation, Session
from sentinel.store.base import ABSENT, DELETE, Committed
from tests.unit.builders import (
    AT,
    STALE,
    Bench,
    incarnation,
    session,
)

NAME = session_register("inc1")


class Proven:
    """Proof of death of those named."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def proven(self, incarnation: Incarnation) -> bool:
        return incarnation.id in self._names


@pytest.fixture
def fleet(bench: Bench) -> Bench:
    """Two workers that have beaten once."""
    bench.join("w1", "inc1")
    bench.join("w2", "inc2")
    return bench


def look(bench: Bench, *, after: float = 0.0, beating: tuple[str, ...] = ("inc2",)) -> None:
    """Look once, ``after`` seconds from now, in which some went on beating."""
    bench.clock.advance(after)
    for name in beating:
        now = int(bench.clock.now() * 1000)
        bench.beat(session(name, "w" + name[3:], seq=now))
    watched = failover.watched(bench.view(), bench.registers())
    bench.observer.look(watched, sent=bench.clock.now(), reply=bench.clock.now())


def suspects(bench: Bench, *, stale: float = STALE, proof: DeathProof | None = None) -> list[Suspect]:
    return list(
        failover.suspects(
            bench.view(), bench.registers(), bench.observer, stale=stale, proof=proof or NoProof()
        )
    )


def silent(bench: Bench, seconds: float = STALE, *, beating: tuple[str, ...] = ("inc2",)) -> list[Suspect]:
    """The suspects after ``seconds`` in which `inc1` did not beat."""
    look(bench, beating=beating)
    look(bench, after=seconds, beating=beating)
    return suspects(bench)


def only(found: list[Suspect]) -> Suspect:
    assert [suspect.incarnation for suspect in found] == ["inc1"]
    return found[0]


def take_over(bench: Bench, found: Suspect) -> bool:
    return failover.fail_over(bench.transactor, bench.view(), found, by="w2")


# -- who is suspect ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "found"), [(0, []), (9.9, []), (10, ["inc1"]), (60, ["inc1"])])
def test_only_who_was_silent_for_as_long_as_announced_is_suspect(
    fleet: Bench, seconds: float, found: list[str]
) -> None:
    assert [suspect.incarnation for suspect in silent(fleet, seconds)] == found


@pytest.mark.parametrize(
    ("mine", "announced", "silence", "found"),
    [(10, 30, 29, 0), (10, 30, 30, 1), (30, 10, 29, 0), (30, 10, 30, 1), (10, 10, 10, 1)],
)
def test_the_longer_of_my_threshold_and_what_was_announced_counts(
    fleet: Bench, mine: float, announced: float, silence: float, found: int
) -> None:
    fleet.beat(session("inc1", "w1", seq=2, ttl=announced))
    look(fleet)
    look(fleet, after=silence)
    assert len([s for s in suspects(fleet, stale=mine) if s.incarnation == "inc1"]) == found


def test_what_the_incarnation_announced_counts_when_its_session_says_less(fleet: Bench) -> None:
    fleet.put(incarnation("inc1", ttl=30.0))
    assert silent(fleet, 29.0) == []


def test_what_was_announced_at_the_start_counts_when_the_session_is_missing(bench: Bench) -> None:
    bench.put(incarnation("inc1", ttl=30.0))
    assert silent(bench, 29.0, beating=()) == []
    assert only(silent(bench, 30.0, beating=())).version is ABSENT


def test_who_never_beat_is_silent_too(bench: Bench) -> None:
    bench.put(incarnation("inc1"))
    assert only(silent(bench, beating=())).ground == "silent for 10.0 s"


def test_who_beats_is_alive_however_slow_the_observer(fleet: Bench) -> None:
    for _ in range(5):
        look(fleet, after=1000.0, beating=("inc1", "inc2"))
    assert suspects(fleet) == []


def test_a_pause_of_the_observer_is_no_silence(fleet: Bench) -> None:
    look(fleet)
    sent = fleet.clock.now()
    watched = failover.watched(fleet.view(), fleet.registers())
    fleet.clock.advance(1000.0)
    fleet.observer.look(watched, sent=sent, reply=fleet.clock.now())
    assert suspects(fleet) == []


def test_an_unreadable_session_is_silence(fleet: Bench) -> None:
    fleet.store.publish(NAME, {"torn": 1}, fleet.register_version(NAME))
    found = only(silent(fleet))
    assert (found.session, found.worker) == (None, "w1")


def test_an_unreadable_session_that_changes_is_alive(fleet: Bench) -> None:
    for number in range(5):
        fleet.store.publish(NAME, {"torn": number}, fleet.register_version(NAME))
        look(fleet, after=STALE)
    assert suspects(fleet) == []


def test_a_session_of_another_is_silence_and_its_seal_does_not_count(fleet: Bench) -> None:
    foreign = session("inc9", sealed_by="mallory").document()
    fleet.store.publish(NAME, foreign, fleet.register_version(NAME))
    assert silent(fleet, 9.0) == []
    assert only(silent(fleet)).session is None


def test_an_unreadable_incarnation_is_judged_by_its_session(fleet: Bench) -> None:
    fleet.beat(session("inc1", "w1", seq=2, ttl=30.0))
    fleet.tear("incarnations/inc1")
    assert silent(fleet, 29.0) == []
    assert only(silent(fleet, 30.0)).worker == "w1"


def test_an_unreadable_incarnation_without_a_session_is_judged_by_my_threshold(bench: Bench) -> None:
    bench.tear("incarnations/inc1")
    assert only(silent(bench, beating=())).worker == "unreadable"


def test_who_is_proven_dead_is_suspect_at_once(fleet: Bench) -> None:
    look(fleet)
    assert only(suspects(fleet, proof=Proven("inc1"))).ground == "proven dead"


def test_nobody_is_proven_dead_by_an_unreadable_record(fleet: Bench) -> None:
    fleet.tear("incarnations/inc1")
    assert suspects(fleet, proof=Proven("inc1")) == []


def test_a_sealed_one_needs_no_further_silence(fleet: Bench) -> None:
    fleet.beat(session("inc1", "w1", seq=2, sealed_by="w3"))
    assert only(suspects(fleet)).sealed


def test_who_completes_a_failover_still_says_why_it_was_begun(fleet: Bench) -> None:
    seal(fleet, only(silent(fleet)))
    burial = failover.bury(fleet.change(), only(suspects(fleet)), by="w3")
    assert burial.note == "fail over w1 (inc1): silent for 10.0 s, sealed by w2, by w3"


def test_who_has_no_record_is_not_suspect(fleet: Bench) -> None:
    fleet.drop("incarnations/inc1")
    assert silent(fleet) == []


def test_all_peers_that_restart_at_once_wait_for_a_full_silence(fleet: Bench) -> None:
    fleet.clock.advance(1000.0)
    look(fleet, beating=())
    assert suspects(fleet) == []


# -- the seal ----------------------------------------------------------------------------------------


def seal(bench: Bench, found: Suspect) -> bool:
    return failover.seal(bench.store, found, by="w2", sent_at=AT)


def test_a_seal_forbids_every_further_beat(fleet: Bench) -> None:
    found = only(silent(fleet))
    assert seal(fleet, found)
    late = fleet.store.publish(NAME, session("inc1", "w1", seq=9).document(), found.version)
    assert not isinstance(late, Committed)


def test_a_seal_fails_when_a_beat_came_meanwhile(fleet: Bench) -> None:
    found = only(silent(fleet))
    fleet.beat(session("inc1", "w1", seq=2))
    assert not seal(fleet, found)


def test_a_seal_of_a_missing_session_forbids_the_first_beat(bench: Bench) -> None:
    bench.put(incarnation("inc1"))
    assert seal(bench, only(silent(bench, beating=())))
    first = bench.store.publish(NAME, session("inc1").document(), ABSENT)
    assert not isinstance(first, Committed)


def test_a_seal_of_a_missing_session_fails_when_the_first_beat_came_meanwhile(bench: Bench) -> None:
    bench.put(incarnation("inc1"))
    found = only(silent(bench, beating=()))
    bench.beat(session("inc1"))
    assert not seal(bench, found)


def test_of_two_that_seal_at_once_one_does_and_the_other_sees_it(fleet: Bench) -> None:
    found = only(silent(fleet))
    assert [seal(fleet, found), seal(fleet, found)] == [True, False]
    assert only(suspects(fleet)).sealed


def test_what_is_sealed_is_not_sealed_again(fleet: Bench) -> None:
    seal(fleet, only(silent(fleet)))
    before = fleet.register_version(NAME)
    assert seal(fleet, only(suspects(fleet)))
    assert fleet.register_version(NAME) == before


def test_a_seal_says_by_whom_and_keeps_what_was_announced(fleet: Bench) -> None:
    seal(fleet, only(silent(fleet)))
    sealed = Session.load(NAME, fleet.registers()[NAME].document or {})
    assert (sealed.incarnation, sealed.sealed_by, sealed.ttl, sealed.seq) == ("inc1", "w2", STALE, 1)


# -- the burial --------------------------------------------------------------------------------------


def test_a_burial_only_deletes_the_record_and_says_why(fleet: Bench) -> None:
    burial = failover.bury(fleet.change(), only(silent(fleet)), by="w2")
    assert (dict(burial.write), burial.note) == (
        {"incarnations/inc1": DELETE},
        "fail over w1 (inc1): silent for 10.0 s, by w2",
    )


def test_of_two_that_bury_at_once_one_does(fleet: Bench) -> None:
    found = only(silent(fleet))
    both = [failover.bury(fleet.change(), found, by=by) for by in ("w2", "w3")]
    assert [fleet.lands(burial) for burial in both] == [True, False]


def test_both_steps_end_an_incarnation(fleet: Bench) -> None:
    assert take_over(fleet, only(silent(fleet)))
    assert not fleet.view().live("inc1")


def test_who_beats_again_in_time_is_not_buried(fleet: Bench) -> None:
    found = only(silent(fleet))
    fleet.beat(session("inc1", "w1", seq=2))
    assert not take_over(fleet, found)
    assert fleet.view().live("inc1")


def test_what_another_began_can_be_completed(fleet: Bench) -> None:
    seal(fleet, only(silent(fleet)))
    assert take_over(fleet, only(suspects(fleet)))


def test_a_take_over_of_one_leaves_the_others_alone(fleet: Bench) -> None:
    silent(fleet, beating=())
    registers = fleet.registers()
    found = failover.take_over(
        fleet.transactor,
        fleet.view(),
        registers,
        fleet.observer,
        "inc1",
        stale=STALE,
        proof=NoProof(),
        by="w3",
    )
    assert found is not None
    assert (found.incarnation, fleet.view().live("inc2")) == ("inc1", True)


@pytest.mark.parametrize("by", ["w2", "evil\nname\rSentinel-Tx: x"], ids=ascii)
def test_who_seals_cannot_break_the_line_of_the_audit(fleet: Bench, by: str) -> None:
    fleet.beat(session("inc1", "w1\n", seq=2, sealed_by=by))
    assert failover.bury(fleet.change(), only(suspects(fleet)), by="w2").note.isprintable()
