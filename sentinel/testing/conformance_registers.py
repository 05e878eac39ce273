"""The part of the conformance suite that is about registers and kept blobs."""

from __future__ import annotations

import re

import pytest

from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Register, Store, Written
from sentinel.testing.workbench import Passenger, StoreBench, landed, transaction

NAME = "0123456789abcdef0123456789abcdef"
OTHER = "ffff456789abcdef0123456789abcdef"

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def beat(store: Store, document: Written, expect: Expected, name: str = NAME) -> str:
    """Publish what must not conflict; the new version."""
    outcome = store.publish(name, document, expect)
    assert isinstance(outcome, Committed), outcome
    return outcome.revision


class RegisterConformance:
    """What registers and kept blobs promise."""

    def test_a_store_begins_without_registers(self, one: Store) -> None:
        assert dict(one.published()) == {}

    def test_a_register_is_read_back_by_every_client_with_its_version(self, one: Store, two: Store) -> None:
        version = beat(one, {"seq": 1}, ABSENT)
        assert dict(two.published()) == {NAME: Register(version, {"format": 1, "seq": 1})}

    def test_each_beat_has_a_new_version(self, one: Store) -> None:
        first = beat(one, {"seq": 1}, ABSENT)
        second = beat(one, {"seq": 2}, first)
        assert first != second
        assert dict(one.published()) == {NAME: Register(second, {"format": 1, "seq": 2})}

    def test_creating_a_register_that_exists_conflicts(self, one: Store, two: Store) -> None:
        beat(one, {"seq": 1}, ABSENT)
        assert two.publish(NAME, {"seq": 9}, ABSENT) == Conflicted((NAME,))

    def test_a_beat_on_an_old_version_conflicts_and_changes_nothing(self, one: Store, two: Store) -> None:
        first = beat(one, {"seq": 1}, ABSENT)
        second = beat(one, {"seq": 2}, first)
        assert two.publish(NAME, {"seq": 3}, first) == Conflicted((NAME,))
        assert dict(one.published()) == {NAME: Register(second, {"format": 1, "seq": 2})}

    def test_a_beat_on_a_register_that_is_not_there_conflicts(self, one: Store, two: Store) -> None:
        version = beat(one, {"seq": 1}, ABSENT)
        beat(one, DELETE, version)
        assert two.publish(NAME, {"seq": 2}, version) == Conflicted((NAME,))
        assert dict(one.published()) == {}

    def test_a_beat_that_expects_a_version_nobody_had_conflicts(self, one: Store) -> None:
        beat(one, {"seq": 1}, ABSENT)
        assert one.publish(NAME, {"seq": 2}, "no-such-version") == Conflicted((NAME,))

    def test_a_stale_beat_bounces_off_a_sealed_register(self, one: Store, two: Store) -> None:
        alive = beat(one, {"seq": 1}, ABSENT)
        sealed = beat(two, {"sealed_by": "other"}, alive)
        assert one.publish(NAME, {"seq": 2}, alive) == Conflicted((NAME,))
        assert dict(one.published()) == {NAME: Register(sealed, {"format": 1, "sealed_by": "other"})}

    def test_a_seal_bounces_when_the_owner_beats_first(self, one: Store, two: Store) -> None:
        alive = beat(one, {"seq": 1}, ABSENT)
        beat(one, {"seq": 2}, alive)
        assert two.publish(NAME, {"sealed_by": "other"}, alive) == Conflicted((NAME,))

    def test_a_missing_register_can_be_sealed_so_that_the_first_beat_bounces(
        self, one: Store, two: Store
    ) -> None:
        beat(two, {"sealed_by": "other"}, ABSENT)
        assert one.publish(NAME, {"seq": 1}, ABSENT) == Conflicted((NAME,))

    def test_a_deleted_register_is_gone_and_can_be_made_again(self, one: Store, two: Store) -> None:
        version = beat(one, {"seq": 1}, ABSENT)
        beat(two, DELETE, version)
        assert dict(one.published()) == {}
        again = beat(one, {"seq": 1}, ABSENT)
        assert dict(two.published()) == {NAME: Register(again, {"format": 1, "seq": 1})}

    def test_deleting_on_an_old_version_conflicts(self, one: Store, two: Store) -> None:
        first = beat(one, {"seq": 1}, ABSENT)
        second = beat(one, {"seq": 2}, first)
        assert two.publish(NAME, DELETE, first) == Conflicted((NAME,))
        assert one.published()[NAME].version == second

    def test_a_beat_on_a_version_from_before_a_deletion_bounces_off_the_new_register(
        self, one: Store, two: Store
    ) -> None:
        old = beat(one, {"seq": 1, "by": "old"}, ABSENT)
        beat(one, DELETE, old)
        new = beat(two, {"seq": 1, "by": "new"}, ABSENT)
        assert one.publish(NAME, {"seq": 2, "by": "old"}, old) == Conflicted((NAME,))
        assert two.published()[NAME].version == new

    def test_deleting_what_is_absent_is_no_error_when_absence_was_expected(self, one: Store) -> None:
        beat(one, DELETE, ABSENT)
        beat(one, {"seq": 1}, ABSENT)
        assert one.publish(NAME, DELETE, ABSENT) == Conflicted((NAME,))

    def test_registers_do_not_touch_each_other_nor_the_documents(self, one: Store, two: Store) -> None:
        before = one.read().revision
        mine = beat(one, {"seq": 1}, ABSENT)
        beat(two, {"seq": 7}, ABSENT, OTHER)
        beat(one, {"seq": 2}, mine)
        assert {name: register.document for name, register in two.published().items()} == {
            NAME: {"format": 1, "seq": 2},
            OTHER: {"format": 1, "seq": 7},
        }
        assert two.read().revision == before

    def test_changing_a_document_that_was_published_or_read_changes_nothing(self, one: Store) -> None:
        document = {"load": {"cpu": 1}}
        beat(one, document, ABSENT)
        document["load"]["cpu"] = 2
        read = one.published()[NAME].document
        assert read is not None
        read["load"] = None
        assert one.published()[NAME].document == {"format": 1, "load": {"cpu": 1}}

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"format":99}', b"x" * 300_000])
    def test_an_unreadable_register_has_a_version_and_a_problem_and_can_be_replaced(
        self, bench: StoreBench, one: Store, two: Store, content: bytes
    ) -> None:
        beat(one, {"seq": 1}, ABSENT)
        beat(two, {"seq": 1}, ABSENT, OTHER)
        bench.plant_register(NAME, content)
        bad = one.published()[NAME]
        assert bad.document is None
        assert bad.problem
        assert one.published()[OTHER].document == {"format": 1, "seq": 1}
        beat(two, {"sealed_by": "other"}, bad.version)
        assert one.published()[NAME].document == {"format": 1, "sealed_by": "other"}

    def test_of_many_that_move_one_register_at_once_exactly_one_wins_each_version(
        self, bench: StoreBench
    ) -> None:
        def race(store: Store, mine: int) -> list[str]:
            won: list[str] = []
            while len(won) < 10:
                register = store.published().get(NAME)
                seq = 0 if register is None or register.document is None else register.document["seq"]
                expect: Expected = ABSENT if register is None else register.version
                if isinstance(store.publish(NAME, {"seq": seq + 1, "by": mine}, expect), Committed):
                    won.append(f"{expect}")
            return won

        used = [version for wins in bench.together(4, race) for version in wins]
        assert len(set(used)) == len(used) == 40
        document = bench.client().published()[NAME].document
        assert document is not None
        assert document["seq"] == 40

    def test_carrying_commits_like_a_commit_and_tells_what_became_of_a_ride(
        self, one: Store, two: Store
    ) -> None:
        passenger = Passenger(NAME, beat(one, {"seq": 1}, ABSENT))
        (outcome,) = one.carry([transaction({"tasks/a": ABSENT}, {"tasks/a": {}})], passenger)
        assert isinstance(outcome, Committed)
        assert two.read().get("tasks/a") == {"format": 1}
        assert len(passenger.landed) == len(passenger.outcomes) == passenger.asked <= 1
        for told in passenger.landed:
            assert dict(two.published()) == {NAME: Register(told.revision, {"format": 1, "seq": 2})}

    def test_a_ride_that_loses_does_not_keep_the_commit_from_landing(self, one: Store, two: Store) -> None:
        beat(one, {"seq": 1}, ABSENT)
        passenger = Passenger(NAME, "no-such-version")
        (outcome,) = one.carry([transaction({"tasks/a": ABSENT}, {"tasks/a": {}})], passenger)
        assert isinstance(outcome, Committed)
        assert passenger.outcomes == [Conflicted((NAME,))] * passenger.asked
        assert two.published()[NAME].document == {"format": 1, "seq": 1}

    def test_kept_blobs_are_found_by_the_names_they_were_given(self, one: Store, two: Store) -> None:
        blobs = [b"", b"a log\n", bytes(range(256)) * 1000]
        names = one.keep(blobs)
        assert [two.kept(name) for name in names] == blobs

    def test_keeping_nothing_is_nothing(self, one: Store) -> None:
        assert one.keep([]) == []

    def test_keeping_the_same_bytes_twice_is_fine(self, one: Store, two: Store) -> None:
        names = one.keep([b"same", b"same"]) + two.keep([b"same"])
        assert {two.kept(name) for name in names} == {b"same"}

    @pytest.mark.parametrize(
        "name", ["", "0" * 40, "../../etc/passwd", "HEAD", "refs/heads/main", "zz", "-x"]
    )
    def test_a_name_that_nothing_was_kept_under_finds_nothing(self, one: Store, name: str) -> None:
        one.keep([b"something"])
        assert one.kept(name) is None

    def test_keeping_does_not_show_among_the_documents(self, one: Store) -> None:
        before = sorted(one.read().list(""))
        one.keep([b"a log"])
        assert sorted(one.read().list("")) == before

    def test_blobs_kept_at_the_same_time_are_all_there(self, bench: StoreBench) -> None:
        def keep(store: Store, mine: int) -> list[str]:
            return [store.keep([f"{mine} {number}".encode()])[0] for number in range(5)]

        kept = bench.together(4, keep)
        reader = bench.client()
        for mine, names in enumerate(kept):
            assert [reader.kept(name) for name in names] == [f"{mine} {n}".encode() for n in range(5)]

    def test_a_transaction_can_name_a_blob_that_every_reader_then_finds(self, one: Store, two: Store) -> None:
        (name,) = one.keep([b"a big result"])
        landed(one, transaction({"done/a": ABSENT}, {"done/a": {"result": name}}))
        document = two.read().get("done/a")
        assert document is not None
        assert two.kept(document["result"]) == b"a big result"

    def test_a_store_begins_without_days(self, one: Store) -> None:
        assert (dict(one.days()), one.drop_day("2026-11-22", "no-such-version")) == ({}, False)

    def test_every_client_sees_the_days_of_which_blobs_are_kept(self, one: Store, two: Store) -> None:
        one.keep([b"a log"])
        days = dict(one.days())
        assert dict(two.days()) == days
        assert all(_DAY.fullmatch(day) for day in days)

    def test_the_version_of_a_day_changes_with_what_is_kept_of_it(self, one: Store, two: Store) -> None:
        one.keep([b"a log"])
        before = dict(one.days())
        two.keep([b"another"])
        after = dict(one.days())
        # A store that keeps nothing by the day has no day at any time.
        assert (before == after) is (not before)

    def test_a_day_is_dropped_by_whoever_knows_its_newest_version(self, one: Store, two: Store) -> None:
        one.keep([b"a log"])
        days = dict(one.days())
        assert [two.drop_day(day, version) for day, version in days.items()] == [True] * len(days)
        assert dict(one.days()) == {}

    def test_a_day_that_has_changed_is_not_dropped(self, one: Store, two: Store) -> None:
        one.keep([b"a log"])
        old = dict(one.days())
        two.keep([b"another"])
        now = dict(two.days())
        changed = [day for day in old if now.get(day) != old[day]]
        assert [one.drop_day(day, old[day]) for day in changed] == [False] * len(changed)
        assert dict(one.days()) == now

    def test_a_day_that_was_dropped_is_no_more_there_to_be_dropped(self, one: Store, two: Store) -> None:
        one.keep([b"a log"])
        days = dict(one.days())
        dropped = [[store.drop_day(day, version) for day, version in days.items()] for store in (one, two)]
        assert dropped == [[True] * len(days), [False] * len(days)]

    def test_what_is_kept_after_a_day_was_dropped_is_found(self, one: Store, two: Store) -> None:
        one.keep([b"a log"])
        for day, version in dict(one.days()).items():
            two.drop_day(day, version)
        (name,) = one.keep([b"another"])
        assert two.kept(name) == b"another"
