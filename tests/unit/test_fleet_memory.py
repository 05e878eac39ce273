"""Decisions on shared memory: versions, limits, and the fence of tasks."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.errors import BadInput, ClaimLost, Conflict
from sentinel.fleet import memory
from sentinel.fleet.memory_policies import Write, find_policy
from sentinel.model.layout import memory_key
from sentinel.model.memory import MAX_KEYS, Entry, Wish
from sentinel.store.base import Committed, Conflicted, Snapshot, Transaction
from sentinel.store.transact import Change
from tests.unit.builders import Bench, ended, incarnation, running

LAST = find_policy("last_write_wins")


class Desk:
    """Writes keys of a bench's store."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    @property
    def snapshot(self) -> Snapshot:
        return self.bench.store.read()

    def change(self) -> Change:
        return Change(self.snapshot, self.bench.ids.ulid())

    def decide(self, **more: Any) -> tuple[Transaction | None, Entry | None]:
        fields: dict[str, Any] = {"namespace": "ns", "key": "k", "by": "w"}
        options: dict[str, Any] = {"policy": LAST, "wall": 0.0}
        options |= {name: more.pop(name) for name in ("policy", "counted", "expired") if name in more}
        wish = Wish(**fields | more)
        return memory.write(self.change(), self.snapshot, wish, **options)

    def write(self, **more: Any) -> Entry | None:
        transaction, entry = self.decide(**more)
        if transaction is not None:
            (outcome,) = self.bench.store.commit([transaction])
            assert isinstance(outcome, Committed), outcome
        return entry

    def read(self) -> Entry | None:
        return memory.load_entry(self.snapshot, memory_key("ns", "k"))


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench)


def test_what_was_decided_is_what_is_read(desk: Desk) -> None:
    written = desk.write(value={"a": 1}, ttl=60.0)
    assert written == desk.read()
    assert written is not None
    assert (written.value, written.ttl, written.written_by, written.rev) == ({"a": 1}, 60.0, "w", 1)


def test_each_write_gives_a_new_version_and_the_next_rev(desk: Desk) -> None:
    versions = [entry.version for _ in range(3) if (entry := desk.write(value=1)) is not None]
    assert len(set(versions)) == 3
    there = desk.read()
    assert there is not None
    assert there.rev == 3


def test_a_key_that_was_deleted_and_made_again_has_no_version_of_before(desk: Desk) -> None:
    first = desk.write(value=1)
    desk.write(delete=True)
    desk.write(value=1)
    assert first is not None
    with pytest.raises(Conflict, match=f"version {first.version} was expected"):
        desk.decide(value=2, expect=first.version)


@pytest.mark.parametrize("there", [True, False])
def test_an_expected_version_counts_before_any_rule(desk: Desk, there: bool) -> None:
    entry = desk.write(value=1) if there else None
    version = None if entry is None else entry.version

    def never(_stored: Entry | None, _write: Write) -> Any:
        raise AssertionError("not asked")

    assert desk.write(value=2, expect=version, policy=never) == desk.read()
    with pytest.raises(Conflict):
        desk.decide(value=3, expect=version, policy=never)


def test_nothing_that_is_deleted_is_nothing_to_write(desk: Desk) -> None:
    assert desk.decide(delete=True) == (None, None)


def test_what_was_deleted_is_told(desk: Desk) -> None:
    written = desk.write(value=1)
    assert desk.write(delete=True) == written
    assert desk.read() is None


def test_fields_of_a_newer_version_are_kept(desk: Desk) -> None:
    desk.write(value=1)
    key = memory_key("ns", "k")
    there = desk.read()
    assert there is not None
    change = desk.change()
    change.put(key, Entry(namespace="ns", key="k", value=1, rev=there.rev, extra={"colour": "red"}))
    desk.bench.store.commit([change.transaction("by a newer version")])
    desk.write(value=2)
    again = desk.read()
    assert again is not None
    assert again.extra == {"colour": "red"}


def test_a_full_namespace_takes_no_new_key_and_names_the_limit(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"namespace ns has 10000 keys, which is the limit"):
        desk.decide(value=1, counted=lambda _snapshot, _namespace: MAX_KEYS)


def test_a_full_namespace_takes_writes_of_its_keys(desk: Desk) -> None:
    desk.write(value=1)
    assert desk.write(value=2, counted=lambda _snapshot, _namespace: MAX_KEYS) == desk.read()


def test_the_keys_of_one_namespace_are_counted(desk: Desk) -> None:
    for key in ("a", "b"):
        desk.write(key=key, value=1)
    desk.write(namespace="ns-2", value=1)
    assert memory.count(desk.snapshot, "ns") == 2


def test_what_a_rule_makes_of_a_value_has_the_limits_of_values(desk: Desk) -> None:
    desk.write(value={"a": "x" * 40_000})
    with pytest.raises(BadInput, match="more than the limit of 65536"):
        desk.decide(value={"b": "x" * 40_000}, policy=find_policy("merge"))


def test_a_rule_that_fails_fails_its_write_alone(desk: Desk) -> None:
    def broken(_stored: Entry | None, _write: Write) -> Any:
        raise ZeroDivisionError("oops")

    with pytest.raises(BadInput, match="policy failed on ns/k: ZeroDivisionError: oops"):
        desk.decide(value=1, policy=broken)


def test_an_entry_that_has_expired_is_as_good_as_gone(desk: Desk) -> None:
    desk.write(value=1, ttl=5.0)
    written = desk.write(value=2, expect=None, expired=lambda _: True)
    assert written == desk.read()
    assert written is not None
    assert written.rev == 2


def test_a_write_says_in_the_audit_what_and_by_whom(desk: Desk) -> None:
    transaction, _ = desk.decide(value=1, by="build-1 epoch 2 on w1")
    assert transaction is not None
    assert transaction.note == "set memory ns/k by build-1 epoch 2 on w1"


def test_a_write_under_a_claim_expects_the_incarnation_and_the_claim(bench: Bench) -> None:
    bench.put(incarnation("i1"), running("t", incarnation="i1"))
    change = bench.change()
    memory.under(change, bench.snapshot(), running("t", incarnation="i1").fence())
    assert set(change.transaction("x").expect) == {"incarnations/i1", "tasks/t"}


def test_a_claim_that_is_over_writes_nothing(bench: Bench) -> None:
    bench.put(incarnation("i1"), ended("t", incarnation="i1"))
    with pytest.raises(ClaimLost, match="task t is not under its claim of epoch 1"):
        memory.under(bench.change(), bench.snapshot(), running("t", incarnation="i1").fence())


def test_a_dead_incarnation_writes_nothing_even_before_its_task_is_freed(bench: Bench) -> None:
    bench.put(running("t", incarnation="i1"))
    with pytest.raises(ClaimLost):
        memory.under(bench.change(), bench.snapshot(), running("t", incarnation="i1").fence())


def test_an_incarnation_that_dies_meanwhile_makes_the_write_bounce(bench: Bench) -> None:
    bench.put(incarnation("i1"), running("t", incarnation="i1"))
    change = bench.change()
    memory.under(change, bench.snapshot(), running("t", incarnation="i1").fence())
    bench.drop("incarnations/i1")
    assert bench.commit(change.transaction("x")) == Conflicted(("incarnations/i1",))
