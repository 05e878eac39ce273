"""The part of the conformance suite that is about snapshots and single transactions."""

from __future__ import annotations

import pytest

from sentinel.errors import BadRecord
from sentinel.model.codec import MAX_DOCUMENT_BYTES
from sentinel.store.base import ABSENT, DELETE, PARTS, Committed, Conflicted, Refused, Store, Written
from sentinel.testing.workbench import StoreBench, attempt, landed, transaction

#: Neither JSON nor anything else.
GARBAGE = b'{"format": 1, "torn'


class SnapshotConformance:
    """What a snapshot promises."""

    def test_an_empty_store_lists_nothing_under_a_folder(self, one: Store) -> None:
        assert list(one.read().list("tasks/")) == []

    def test_an_absent_key_is_none_and_has_the_version_absent(self, one: Store) -> None:
        snapshot = one.read()
        assert (snapshot.get("tasks/a"), snapshot.version("tasks/a")) == (None, ABSENT)

    def test_a_document_is_read_back_with_its_format(self, one: Store, two: Store) -> None:
        document = {"rev": 1, "text": "żółw ☃ \x00", "number": 1.5, "nested": {"list": [None, True, -1]}}
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": document}))
        assert two.read().get("tasks/a") == {"format": 1, **document}

    def test_changing_a_document_that_was_read_changes_nobody_elses(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"rev": 1, "list": [1]}}))
        snapshot = one.read()
        mine = snapshot.get("tasks/a")
        assert mine is not None
        mine["list"].append(2)
        mine["rev"] = 99
        for look in (snapshot, one.read()):
            assert look.get("tasks/a") == {"format": 1, "rev": 1, "list": [1]}

    def test_changing_a_document_after_it_was_committed_changes_nothing(self, one: Store) -> None:
        document = {"rev": 1, "list": [1]}
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": document}))
        document["list"] = []
        assert one.read().get("tasks/a") == {"format": 1, "rev": 1, "list": [1]}

    def test_a_snapshot_stays_as_it_was_while_the_store_moves_on(self, one: Store, two: Store) -> None:
        landed(
            one,
            transaction({"tasks/a": ABSENT, "tasks/b": ABSENT}, {"tasks/a": {"n": 1}, "tasks/b": {"n": 1}}),
        )
        before = one.read()
        version = before.version("tasks/a")
        landed(
            two,
            transaction(
                {"tasks/a": version, "tasks/b": before.version("tasks/b"), "tasks/c": ABSENT},
                {"tasks/a": {"n": 2}, "tasks/b": DELETE, "tasks/c": {"n": 1}},
            ),
        )
        one.read()
        assert before.get("tasks/a") == {"format": 1, "n": 1}
        assert before.get("tasks/b") == {"format": 1, "n": 1}
        assert before.version("tasks/a") == version
        assert sorted(before.list("tasks/")) == ["tasks/a", "tasks/b"]

    def test_every_committed_change_is_seen_by_the_next_read_of_any_client(
        self, one: Store, two: Store
    ) -> None:
        for number in range(5):
            key = f"tasks/t{number}"
            landed(one, transaction({key: ABSENT}, {key: {"n": number}}))
            assert two.read().get(key) == {"format": 1, "n": number}

    def test_reading_an_unchanged_store_gives_the_same_revision(self, one: Store, two: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
        assert one.read().revision == one.read().revision == two.read().revision

    def test_the_revision_changes_with_every_commit(self, one: Store) -> None:
        seen = {one.read().revision}
        for number in range(3):
            landed(one, transaction({f"tasks/{number}": ABSENT}, {f"tasks/{number}": {}}))
            seen.add(one.read().revision)
        assert len(seen) == 4

    def test_listing_gives_the_keys_of_one_folder_and_no_other(self, one: Store) -> None:
        keys = {"tasks/a", "tasks/a.b", "tasks/a-b_c.9", "tasksx/a", "locks/.floor", "locks/a", "done/a"}
        landed(one, transaction(dict.fromkeys(keys, ABSENT), {key: {} for key in keys}))
        snapshot = one.read()
        for folder in ("tasks/", "locks/", "done/", "tasksx/"):
            assert sorted(snapshot.list(folder)) == sorted(key for key in keys if key.startswith(folder))

    def test_listing_takes_any_prefix(self, one: Store) -> None:
        keys = {"fleets", "tasks/build-1", "tasks/build-2", "tasks/test-1"}
        landed(one, transaction(dict.fromkeys(keys, ABSENT), {key: {} for key in keys}))
        snapshot = one.read()
        assert sorted(snapshot.list("tasks/build")) == ["tasks/build-1", "tasks/build-2"]
        assert keys <= set(snapshot.list(""))

    def test_the_parts_of_a_folder_are_the_whole_of_it_and_each_is_small(self, one: Store) -> None:
        keys = {f"done/build-{number}" for number in range(600)}
        written: dict[str, Written] = {key: {} for key in (*keys, "donex/a", "tasks/a")}
        landed(one, transaction(dict.fromkeys(written, ABSENT), written))
        snapshot = one.read()
        parts = [list(snapshot.part("done/", number)) for number in range(PARTS)]
        assert sorted(key for part in parts for key in part) == sorted(keys)
        # Two or three of them on the average, but neighbours stay together.
        assert max(map(len, parts)) <= 60

    def test_a_key_stays_in_its_part_while_others_come_and_go(self, one: Store, two: Store) -> None:
        landed(one, transaction({"done/a": ABSENT}, {"done/a": {}}))
        snapshot = one.read()
        (number,) = (number for number in range(PARTS) if list(snapshot.part("done/", number)))
        more: dict[str, Written] = {f"done/{name}": {} for name in range(300)}
        landed(two, transaction(dict.fromkeys(more, ABSENT), more))
        assert "done/a" in list(one.read().part("done/", number))

    def test_a_folder_without_keys_has_empty_parts(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
        snapshot = one.read()
        assert [key for number in range(PARTS) for key in snapshot.part("done/", number)] == []

    def test_what_changed_between_two_snapshots_names_every_key_that_differs(self, one: Store) -> None:
        keys = {"fleets", "tasks/a", "tasks/b", "tasks/c", "locks/.floor", "done/x"}
        landed(one, transaction(dict.fromkeys(keys, ABSENT), {key: {} for key in keys}))
        before = one.read()
        written: dict[str, Written] = {
            "fleets": {"n": 1},
            "tasks/a": {"n": 2},
            "tasks/b": DELETE,
            "done/b": {},
            "shared/n/é": {},
        }
        landed(one, transaction({key: before.version(key) for key in written}, written))
        after = one.read()
        for changed in (after.changed(before), before.changed(after)):
            assert changed is None or set(changed) >= written.keys()
        assert not after.changed(after)

    @pytest.mark.parametrize("name", ["a", "0", "a.lock", "x.y", ".floor", "a" * 128, "con", "head", "fleet"])
    def test_any_id_can_be_part_of_a_key(self, one: Store, name: str) -> None:
        key = f"locks/{name}"
        landed(one, transaction({key: ABSENT}, {key: {"name": name}}))
        assert list(one.read().list("locks/")) == [key]
        assert one.read().get(key) == {"format": 1, "name": name}

    @pytest.mark.parametrize(
        "name", ["..", ".", "A", "ż/☃", "a/b/c", " ", "%41", "x..y", "a~b^c:d", "git", ".git"]
    )
    def test_names_that_no_file_may_have_are_told_apart_all_the_same(self, one: Store, name: str) -> None:
        keys = {f"shared/{name}", f"shared/{name.lower()}x"}
        landed(one, transaction(dict.fromkeys(keys, ABSENT), {key: {"key": key} for key in keys}))
        snapshot = one.read()
        assert set(snapshot.list("shared/")) == keys
        assert {key: (snapshot.get(key) or {})["key"] for key in keys} == {key: key for key in keys}

    def test_an_unreadable_record_is_listed_has_a_version_and_raises_bad_record(
        self, bench: StoreBench, one: Store
    ) -> None:
        landed(one, transaction({"tasks/good": ABSENT}, {"tasks/good": {"n": 1}}))
        bench.plant("tasks/bad", GARBAGE)
        snapshot = one.read()
        assert sorted(snapshot.list("tasks/")) == ["tasks/bad", "tasks/good"]
        assert isinstance(snapshot.version("tasks/bad"), str)
        for _ in range(2):
            with pytest.raises(BadRecord, match="tasks/bad"):
                snapshot.get("tasks/bad")
        assert snapshot.get("tasks/good") == {"format": 1, "n": 1}

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"\xff\xfe",
            b"{}",
            b'{"format":2}',
            b'{"format":1,"a":NaN}',
            b'{"format":1,"a":1,"a":2}',
        ],
        ids=["empty", "list", "not UTF-8", "no format", "newer", "NaN", "twice"],
    )
    def test_a_record_that_no_store_would_write_is_unreadable(
        self, bench: StoreBench, one: Store, content: bytes
    ) -> None:
        bench.plant("tasks/bad", content)
        with pytest.raises(BadRecord):
            one.read().get("tasks/bad")

    def test_an_unreadable_record_can_be_replaced_by_whoever_expects_its_version(
        self, bench: StoreBench, one: Store
    ) -> None:
        bench.plant("tasks/bad", GARBAGE)
        version = one.read().version("tasks/bad")
        landed(one, transaction({"tasks/bad": version}, {"tasks/bad": {"n": 1}}))
        assert one.read().get("tasks/bad") == {"format": 1, "n": 1}


class CommitConformance:
    """What a commit promises to one caller."""

    def test_an_empty_batch_has_no_outcomes_and_no_effect(self, one: Store) -> None:
        before = one.read().revision
        assert one.commit([]) == []
        assert one.read().revision == before

    def test_a_committed_transaction_names_a_revision_at_which_it_shows(self, one: Store) -> None:
        revision = landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
        assert one.read().revision == revision

    def test_expecting_an_old_version_conflicts_and_names_the_key(self, one: Store, two: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
        old = one.read().version("tasks/a")
        landed(two, transaction({"tasks/a": old}, {"tasks/a": {"n": 2}}))
        assert attempt(one, transaction({"tasks/a": old}, {"tasks/a": {"n": 3}})) == Conflicted(("tasks/a",))
        assert one.read().get("tasks/a") == {"format": 1, "n": 2}

    def test_expecting_absence_of_what_is_there_conflicts(self, one: Store, two: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
        assert attempt(two, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 2}})) == Conflicted(
            ("tasks/a",)
        )

    def test_expecting_a_version_of_what_is_gone_conflicts(self, one: Store, two: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
        version = one.read().version("tasks/a")
        landed(two, transaction({"tasks/a": version}, {"tasks/a": DELETE}))
        assert attempt(one, transaction({"tasks/a": version}, {"tasks/a": DELETE})) == Conflicted(
            ("tasks/a",)
        )

    def test_a_key_that_is_expected_and_not_written_is_guarded_too(self, one: Store, two: Store) -> None:
        landed(one, transaction({"incarnations/i": ABSENT}, {"incarnations/i": {}}))
        live = one.read().version("incarnations/i")
        landed(two, transaction({"incarnations/i": live}, {"incarnations/i": DELETE}))
        late = transaction({"incarnations/i": live, "tasks/a": ABSENT}, {"tasks/a": {}})
        assert attempt(one, late) == Conflicted(("incarnations/i",))
        assert one.read().get("tasks/a") is None

    def test_a_conflict_names_every_key_that_moved(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT, "tasks/b": ABSENT}, {"tasks/a": {}, "tasks/b": {}}))
        outcome = attempt(one, transaction(dict.fromkeys(["tasks/a", "tasks/b", "tasks/c"], ABSENT), {}))
        assert isinstance(outcome, Conflicted)
        assert set(outcome.keys) == {"tasks/a", "tasks/b"}

    def test_a_transaction_lands_in_full_or_not_at_all(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
        attempt(one, transaction({"done/a": ABSENT, "tasks/a": ABSENT}, {"done/a": {}, "tasks/a": DELETE}))
        assert one.read().get("done/a") is None

    def test_several_keys_move_in_one_transaction(self, one: Store, two: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"rev": 1}}))
        version = one.read().version("tasks/a")
        landed(
            one,
            transaction({"tasks/a": version, "done/a": ABSENT}, {"tasks/a": DELETE, "done/a": {"rev": 2}}),
        )
        snapshot = two.read()
        assert (snapshot.get("tasks/a"), snapshot.get("done/a")) == (None, {"format": 1, "rev": 2})
        assert list(snapshot.list("tasks/")) == []

    def test_unrelated_keys_do_not_conflict(self, one: Store, two: Store) -> None:
        old = one.read()
        landed(two, transaction({"tasks/b": ABSENT}, {"tasks/b": {}}))
        assert old.version("tasks/a") is ABSENT
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
        assert sorted(two.read().list("tasks/")) == ["tasks/a", "tasks/b"]

    def test_a_transaction_that_only_expects_lands_while_it_holds(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {}))

    def test_deleting_what_is_absent_is_no_error_when_absence_was_expected(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": DELETE}))
        assert one.read().get("tasks/a") is None

    def test_a_document_over_the_limit_is_refused_and_changes_nothing(self, one: Store) -> None:
        large = {"text": "x" * MAX_DOCUMENT_BYTES}
        outcome = attempt(one, transaction({"tasks/a": ABSENT}, {"tasks/a": large}))
        assert isinstance(outcome, Refused)
        assert "limit" in outcome.reason
        assert one.read().get("tasks/a") is None

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1: 2}, {"a": object()}])
    def test_a_document_that_is_no_json_is_refused(self, one: Store, value: object) -> None:
        assert isinstance(
            attempt(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {"value": value}})), Refused
        )

    def test_only_the_culprit_of_a_batch_is_refused(self, one: Store) -> None:
        batch = [
            transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}),
            transaction({"tasks/b": ABSENT}, {"tasks/b": {"text": "x" * MAX_DOCUMENT_BYTES}}),
            transaction({"tasks/c": ABSENT}, {"tasks/c": {"n": 3}}),
        ]
        assert [type(outcome) for outcome in one.commit(batch)] == [Committed, Refused, Committed]
        assert sorted(one.read().list("tasks/")) == ["tasks/a", "tasks/c"]


class AuditConformance:
    """What the audit promises: every transaction's note, in the order in which it landed."""

    def test_each_commit_is_an_entry_with_its_revision_and_notes(self, one: Store, two: Store) -> None:
        before = one.read().revision
        first = landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}, note="submit a; and more"))
        batch = [
            transaction({f"tasks/{name}": ABSENT}, {f"tasks/{name}": {}}, note=f"submit {name}")
            for name in "bc"
        ]
        one.commit(batch)
        found = two.audit(10, after=before)
        assert [entry.notes for entry in found] == [("submit b", "submit c"), ("submit a; and more",)]
        assert [entry.revision for entry in found] == [two.read().revision, first]

    def test_the_notes_of_a_large_batch_are_all_there(self, one: Store) -> None:
        wanted = tuple(f"submit a-task-with-a-long-name-{number}" for number in range(30))
        one.commit([transaction({f"tasks/{note[7:]}": ABSENT}, {}, note=note) for note in wanted])
        assert one.audit(1)[0].notes == wanted

    def test_only_the_newest_are_given_up_to_the_limit(self, one: Store) -> None:
        for number in range(4):
            landed(
                one, transaction({f"tasks/{number}": ABSENT}, {f"tasks/{number}": {}}, note=f"note {number}")
            )
        assert [entry.notes[0] for entry in one.audit(2)] == ["note 3", "note 2"]

    def test_a_limit_of_nothing_gives_nothing(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
        assert one.audit(0) == []

    def test_after_the_newest_revision_there_is_nothing(self, one: Store, two: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
        assert two.audit(10, after=two.read().revision) == []

    def test_what_did_not_land_is_not_in_the_audit(self, one: Store) -> None:
        landed(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}, note="landed"))
        attempt(one, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}, note="bounced"))
        assert one.audit(1)[0].notes == ("landed",)

    def test_the_audit_shows_what_others_committed_without_a_read_between(
        self, one: Store, two: Store
    ) -> None:
        seen = one.read().revision
        landed(two, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}, note="by another"))
        assert [entry.notes for entry in one.audit(10, after=seen)] == [("by another",)]
