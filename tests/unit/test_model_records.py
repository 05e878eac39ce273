"""Stored records, from whosever hand: read in full, or refused as a `BadRecord`, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import BadRecord
from sentinel.model import task as transitions
from sentinel.model.codec import MAX_DOCUMENT_BYTES, MAX_INLINE_BYTES, encode_document
from sentinel.model.lock import Lock
from sentinel.model.task import CAUSES, ENDED, Ending, Event, Task
from sentinel.model.worker import Incarnation, Proof, Session, Worker
from tests.unit.builders import (
    AT,
    FAILED,
    OK,
    WALL,
    Stored,
    as_stored,
    ended,
    evolve,
    held_lock,
    incarnation,
    running,
    session,
    task,
    without,
    worker,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of record: an example, its key, and how it is read."""

    example: Stored
    key: str
    load: Callable[[str, Mapping[str, Any]], Stored]


FULL_TASK = evolve(
    ended(args={"path": "docs"}, positional=(1, "a"), retries=2, after=("other",), affinity={"disk": "ssd"}),
    result={"n": 1},
    error={"kind": "error", "message": "it broke"},
    causes={"lost": 1},
    log={"blob": "ab", "bytes": 3, "truncated": False},
    exit_code=0,
    rev=4,
    tx="t4",
)
PROVEN = Proof(boot="boot", device=1, inode=2)
KINDS = {
    "task": Kind(FULL_TASK, "done/build", Task.load),
    "running task": Kind(running(), "tasks/build", Task.load),
    "worker": Kind(worker(region="eu", capabilities=("gpu",)), "workers/w1", Worker.load),
    "incarnation": Kind(incarnation(proof=PROVEN), "incarnations/inc1", Incarnation.load),
    "lock": Kind(held_lock(incarnation="inc1"), "locks/deploy", Lock.load),
    "ticket": Kind(held_lock(), "locks/deploy", Lock.load),
    "session": Kind(session(sealed_by="w2", status="draining"), "ab12", Session.load),
}
RECORDS = {name: kind for name, kind in KINDS.items() if name != "session"}

ODD: list[Any] = [
    *[None, True, False, 0, 1, -1, 0.0, -0.5, 1.5, 10**30, 10**400, -(10**400), 1e308],
    *["", "x", "../x", "a\nb", "\0", "x" * 5_000, "done", "running", "low"],
    *[[], [None], [1], ["x"], [[]], [{}], {}, {"x": None}, {"x": 1}, {"x": "y"}, {"lost": 10**400}],
    *[[{"at": 1, "event": "x", "epoch": 0}], [{"at": "x", "event": "x", "epoch": "0"}]],
    *[{"kind": "x", "message": "y"}, {"boot": "x", "device": -1, "inode": 1}, {"boot": 1}],
]
VALUES = st.sampled_from(ODD) | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_record_is_read_back_as_it_was_written(kind: Kind) -> None:
    assert kind.load(kind.key, as_stored(kind.example)) == kind.example


@pytest.mark.parametrize("kind", RECORDS.values(), ids=RECORDS.keys())
def test_fields_of_a_later_version_are_kept(kind: Kind) -> None:
    later = {**as_stored(kind.example), "shiny": {"new": [1]}, "format": 1}
    assert as_stored(kind.load(kind.key, later)) == without(later, "format")


def test_fields_of_a_later_version_are_kept_in_each_event() -> None:
    document = as_stored(running())
    document["history"][0]["host"] = "h1"
    loaded = Task.load("tasks/build", document)
    assert transitions.lose(loaded, wall=WALL, evidence="gone").document()["history"][0]["host"] == "h1"


@pytest.mark.parametrize("empty", [None, {}, [], "", 0])
def test_a_field_of_a_later_version_is_kept_though_it_is_empty(empty: object) -> None:
    document = {**as_stored(running()), "shiny": empty}
    document["history"][0]["host"] = empty
    kept = Task.load("tasks/build", document).document()
    assert (kept["shiny"], kept["history"][0]["host"]) == (empty, empty)


def test_what_a_task_does_not_have_is_not_written() -> None:
    document = as_stored(task())
    assert not {"owner", "result", "error", "log", "affinity", "after", "failed_on"} & document.keys()
    assert document["losses"] == 0


@pytest.mark.parametrize("result", [None, False, 0, "", [], {}, [{}], {"x": None}])
def test_a_result_is_kept_as_it_is_though_it_is_empty(result: object) -> None:
    done = transitions.end_attempt(running(), Ending(cause=None, result=result), wall=WALL)
    assert Task.load("tasks/build", as_stored(done)).result == result


def test_fields_of_a_later_version_survive_every_transition() -> None:
    document = {**as_stored(task(retries=1)), "shiny": 1}
    now = Task.load("tasks/build", document)
    steps: list[Callable[[Task], Task]] = [
        lambda now: transitions.claim(now, worker="w1", incarnation="inc1", wall=WALL),
        lambda now: transitions.end_attempt(now, FAILED, wall=WALL),
        lambda now: transitions.cancel(now, wall=WALL, reason="no"),
        lambda now: transitions.retry(now, wall=WALL),
    ]
    for step in steps:
        now = step(now)
        assert now.document()["shiny"] == 1


@pytest.mark.parametrize("kind", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_under_another_key_is_refused(kind: Kind) -> None:
    folder = kind.key.partition("/")[0]
    with pytest.raises(BadRecord, match="it says it is"):
        kind.load(f"{folder}/another", as_stored(kind.example))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *[("task", field) for field in ("id", "type", "created_at", "state", "epoch", "rev", "tx")],
        *[("worker", field) for field in ("id", "incarnation", "hostname", "rev", "tx")],
        *[("incarnation", field) for field in ("id", "worker", "ttl", "interval", "rev", "tx")],
        *[("lock", field) for field in ("name", "epoch", "rev", "tx")],
        *[("session", field) for field in ("incarnation", "worker", "seq", "interval", "ttl")],
    ],
)
def test_a_record_without_a_field_that_it_needs_is_refused(name: str, field: str) -> None:
    kind = KINDS[name]
    with pytest.raises(BadRecord, match=f"the field '{field}' is missing"):
        kind.load(kind.key, without(as_stored(kind.example), field))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("state", "sleeping", "state 'sleeping' is unknown"),
        ("state", "x" * 200_000, "state 'xxx"),
        ("state", "blocked", "unknown"),
        ("priority", "urgent", "priority 'urgent' is unknown"),
        ("owner", None, "running without an owner"),
        ("incarnation", None, "running without an owner"),
        ("owner", "w1\nSentinel-Tx: forged", "not a valid id"),
        ("incarnation", "../inc", "not a valid id"),
        ("timeout", 0, "time-out of 0 s is out of range"),
        ("timeout", 1e9, "out of range"),
        ("timeout", 10**400, "too large"),
        ("timeout", "soon", "wrong type"),
        ("retries", -1, "not a count"),
        ("retries", 101, "out of range"),
        ("retries_left", 1, "out of range"),
        ("epoch", 1.0, "wrong type"),
        ("epoch", True, "wrong type"),
        ("epoch", "1", "wrong type"),
        ("causes", {"lost": "1"}, "not an object of counts"),
        ("causes", {"lost": -1}, "not an object of counts"),
        ("causes", {"lost": True}, "not an object of counts"),
        ("affinity", {"disk": 1}, "not an object of texts"),
        ("after", ["a", 1], "not a list of texts"),
        ("after", "a", "wrong type"),
        ("args", [], "wrong type"),
        ("error", {"kind": "error"}, "no kind or no message"),
        ("error", {"kind": "error", "message": None}, "not an object of texts"),
        ("error", "it broke", "wrong type"),
        ("exit_code", "0", "wrong type"),
        ("exit_code", True, "wrong type"),
        ("history", {}, "wrong type"),
        ("history", ["submitted"], "not a list of objects"),
        ("history", [{"event": "submitted", "epoch": 0}], "'at' is missing"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_a_task_with_a_field_that_cannot_be_is_refused(field: str, value: object, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason) as bad:
        Task.load("tasks/build", {**as_stored(running()), field: value})
    assert len(str(bad.value)) < 300


@pytest.mark.parametrize(
    "key", ["tasks/a..b", "tasks/-oProxyCommand=x", "tasks/$(id)", "tasks/a\nb", "tasks/"]
)
def test_a_task_whose_id_is_no_id_is_refused_even_under_its_own_name(key: str) -> None:
    with pytest.raises(BadRecord, match="not a valid id"):
        Task.load(key, {**as_stored(task()), "id": key.partition("/")[2]})


@pytest.mark.parametrize("name", ["worker", "incarnation", "lock"])
def test_a_record_whose_id_is_no_id_is_refused_even_under_its_own_name(name: str) -> None:
    kind = RECORDS[name]
    folder = kind.key.partition("/")[0]
    field = "name" if name == "lock" else "id"
    with pytest.raises(BadRecord, match="not a valid id"):
        kind.load(f"{folder}/a\nb", {**as_stored(kind.example), field: "a\nb"})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_an_odd_value_in_any_field_is_read_or_is_a_bad_record(kind: Kind) -> None:
    document = as_stored(kind.example)
    for field in document:
        for value in ODD:
            with contextlib.suppress(BadRecord):
                kind.load(kind.key, {**document, field: value})


@settings(max_examples=50)
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.text(max_size=3), VALUES), st.data())
def test_any_document_is_read_or_is_a_bad_record(name: str, new: dict[str, Any], data: st.DataObject) -> None:
    kind = KINDS[name]
    document = as_stored(kind.example)
    fields = st.sampled_from(sorted(document))
    changed = data.draw(st.dictionaries(fields, VALUES, max_size=4))
    dropped = data.draw(st.sets(fields, max_size=2))
    with contextlib.suppress(BadRecord):
        kind.load(kind.key, {**without(document, *dropped), **new, **changed})


def every_transition(loaded: Task) -> list[Callable[[], Task]]:
    steps: dict[str, list[Callable[[], Task]]] = {
        "pending": [
            lambda: transitions.claim(loaded, worker="w1", incarnation="inc1", wall=WALL),
            lambda: transitions.cancel(loaded, wall=WALL, reason="no"),
        ],
        "running": [
            *[
                lambda cause=cause: transitions.end_attempt(loaded, Ending(cause=cause), wall=WALL)
                for cause in (*CAUSES, None)
            ],
            lambda: transitions.lose(loaded, wall=WALL, evidence="gone"),
            lambda: transitions.cancel(loaded, wall=WALL, reason="no"),
        ],
    }
    return steps.get(loaded.state, [lambda: transitions.retry(loaded, wall=WALL)])


@settings(max_examples=60)
@given(
    st.sampled_from(["pending", "running", *sorted(ENDED - {"done"})]),
    st.dictionaries(st.sampled_from(sorted(as_stored(running()).keys() - {"state"})), VALUES, max_size=3),
)
def test_a_task_that_can_be_read_survives_every_transition(state: str, changed: dict[str, Any]) -> None:
    try:
        loaded = Task.load("tasks/build", {**as_stored(running()), "state": state, **changed})
    except BadRecord:
        return
    for step in every_transition(loaded):
        assert step().rank[2] == "build"


def fullest_task() -> Task:
    """A task with everything at its limit, in the letters that take the most room."""
    wide = "\U0001f600"
    letters = MAX_INLINE_BYTES - 2
    name = "w" * 128
    event = Event(at=AT, event="requeued", worker=name, epoch=10**6, note=wide * transitions.MAX_NOTE)
    return Task(
        id="t" * 128,
        type="t" * 128,
        args={"a": "x" * letters},
        after=tuple(f"{number:0128}" for number in range(1000)),
        affinity={f"{number:0128}": wide * 128 for number in range(16)},
        submitted_by=wide * 100,
        created_at=AT,
        state="running",
        owner=name,
        incarnation="i" * 26,
        started_at=AT,
        retries=100,
        retries_left=100,
        epoch=10**6,
        history=(event,) * 100,
        log={"blob": "a" * 40, "bytes": 10**12, "truncated": True},
        tx="t" * 26,
    )


@pytest.mark.parametrize(
    "ending",
    [
        Ending(cause=None, result="x" * (MAX_INLINE_BYTES - 2)),
        Ending(cause="error", message="\U0001f600" * 100_000),
        Ending(cause="error", message="\0" * 100_000),
        Ending(cause="error", message="\ud800" * 100_000),
        Ending(cause="error", message="\n" * 100_000, retry=False),
        Ending(cause="drained", message="\U0001f600" * 100_000),
    ],
    ids=["result", "wide", "controls", "surrogates", "lines", "drained"],
)
def test_a_task_with_everything_at_its_limit_fits_into_a_record(ending: Ending) -> None:
    after = transitions.end_attempt(fullest_task(), ending, wall=WALL)
    assert len(encode_document(after.document())) < 0.95 * MAX_DOCUMENT_BYTES


@pytest.mark.parametrize("reason", ["\U0001f600" * 10**6, "\0" * 10**6], ids=["wide", "controls"])
def test_a_long_reason_to_cancel_does_not_make_a_task_too_large(reason: str) -> None:
    asked = transitions.cancel(fullest_task(), wall=WALL, reason=reason)
    gone = transitions.lose(asked, wall=WALL, evidence="gone")
    assert len(encode_document(gone.document())) < MAX_DOCUMENT_BYTES


def test_an_ended_task_is_read_from_its_own_folder() -> None:
    assert Task.load("done/build", as_stored(ended(ending=OK))).ended
