"""Silence: from the reply of the first read that showed a version to the sending of the last one that did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.fleet.observer import KeptObserver, Observer, Sighting, load_sightings, save_sightings
from sentinel.model.lock import MAX_TTL
from sentinel.store.base import ABSENT, Expected
from sentinel.testing.clock import ManualClock

BOOT = "boot-1"


def looked(*looks: tuple[Expected, float, float]) -> Observer:
    """An observer of one thing called ``x`` after looks of (version, sent, reply)."""
    observer = Observer()
    for version, sent, reply in looks:
        observer.look({"x": version}, sent=sent, reply=reply)
    return observer


@pytest.mark.parametrize(
    ("looks", "silence"),
    [
        ([("v1", 10, 11)], 0),
        ([("v1", 10, 11), ("v1", 20, 21)], 9),
        ([("v1", 10, 11), ("v1", 20, 900)], 9),
        ([("v1", 10, 19), ("v1", 20, 21)], 1),
        ([("v1", 10, 11), ("v1", 20, 21), ("v1", 30, 31)], 19),
        # A read that was sent before a pause and answered after it says nothing about the pause (F2b).
        ([("v1", 10, 500)], 0),
        ([("v1", 10, 500), ("v1", 501, 502)], 1),
        ([("v1", 10, 11), ("v1", 12, 500)], 1),
        # A change starts anew, however short it was.
        ([("v1", 10, 11), ("v1", 20, 21), ("v2", 30, 31)], 0),
        ([("v1", 10, 11), ("v2", 20, 21), ("v2", 30, 31)], 9),
        # Replies that overtake each other.
        ([("v1", 10, 11), ("v1", 30, 31), ("v1", 20, 40)], 19),
        # A thing that is missing is silent too.
        ([(ABSENT, 10, 11), (ABSENT, 20, 21)], 9),
        ([(ABSENT, 10, 11), ("v1", 20, 21)], 0),
        ([("v1", 10, 11), (ABSENT, 20, 21), (ABSENT, 30, 31)], 9),
    ],
)
def test_silence_is_what_is_known_for_certain(
    looks: list[tuple[Expected, float, float]], silence: float
) -> None:
    assert looked(*looks).silence("x", looks[-1][0]) == silence


@pytest.mark.parametrize("version", ["v2", ABSENT])
def test_another_version_than_the_one_seen_has_not_been_silent(version: Expected) -> None:
    assert looked(("v1", 10, 11), ("v1", 20, 21)).silence("x", version) == 0


def test_what_was_never_seen_has_not_been_silent() -> None:
    assert Observer().silence("x", ABSENT) == 0


def test_what_a_look_does_not_show_is_forgotten() -> None:
    observer = looked(("v1", 10, 11), ("v1", 20, 21))
    observer.look({"y": "v1"}, sent=30, reply=31)
    observer.look({"x": "v1"}, sent=40, reply=41)
    assert observer.silence("x", "v1") == 0


def test_a_note_of_one_thing_keeps_the_others() -> None:
    observer = looked(("v1", 10, 11), ("v1", 20, 21))
    observer.note("y", "v1", sent=30, reply=31)
    assert observer.silence("x", "v1") == 9


@given(
    changes=st.lists(st.floats(0, 100), max_size=5).map(sorted),
    reads=st.lists(st.tuples(st.floats(0, 40), st.floats(0, 40), st.floats(0, 40)), min_size=1, max_size=8),
)
def test_silence_is_never_longer_than_the_thing_was_unchanged(
    changes: list[float], reads: list[tuple[float, float, float]]
) -> None:
    """Whatever delays there are on the way to the store, in it, and on the way back."""
    observer, now = Observer(), 0.0
    for pause, there, back in reads:
        sent = now + pause
        served = sent + there
        now = served + back
        index = sum(change <= served for change in changes)
        observer.look({"x": f"v{index}"}, sent=sent, reply=now)
        began = changes[index - 1] if index else float("-inf")
        assert observer.silence("x", f"v{index}") <= served - began


def kept_at(path: Path, *sightings: tuple[str, str | None, float, float], boot: str = BOOT) -> None:
    save_sightings(
        path,
        boot,
        {
            name: Sighting(version=version, first_reply=first, last_sent=last)
            for name, version, first, last in sightings
        },
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "observations.json"


def test_sightings_of_an_earlier_process_count_on(path: Path) -> None:
    kept_at(path, ("x", "v1", 10.0, 20.0), ("y", None, 10.0, 20.0))
    observer = Observer(load_sightings(path, BOOT, 30.0))
    observer.look({"x": "v1", "y": ABSENT}, sent=40.0, reply=41.0)
    assert (observer.silence("x", "v1"), observer.silence("y", ABSENT)) == (30, 30)


def test_sightings_of_another_boot_do_not_count(path: Path) -> None:
    kept_at(path, ("x", "v1", 10.0, 20.0), boot="boot-0")
    assert load_sightings(path, BOOT, 30.0) == {}


def test_sightings_from_the_future_do_not_count(path: Path) -> None:
    kept_at(path, ("x", "v1", 10.0, 31.0), ("y", "v1", 10.0, 30.0))
    assert set(load_sightings(path, BOOT, 30.0)) == {"y"}


def test_sightings_that_nobody_went_on_with_for_days_are_dropped(path: Path) -> None:
    kept_at(path, ("x", "v1", 10.0, 20.0))
    assert load_sightings(path, BOOT, 21.0 + 2 * MAX_TTL) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"sightings": {}}',
        b'{"boot": "boot-1"}',
        b'{"boot": "boot-1", "sightings": []}',
        b'{"boot": "boot-1", "sightings": {"x": null}}',
        b'{"boot": "boot-1", "sightings": {"x": ["v1", 1]}}',
        b'{"boot": "boot-1", "sightings": {"x": ["v1", "soon", 2]}}',
        b'{"boot": "boot-1", "sightings": {"x": ["v1", {}, 2]}}',
        b'{"boot": "boot-1", "sightings": {"x": [7, 1, 2]}}',
        b'{"boot": "boot-1", "sightings": {"x": ["v1", 1, NaN]}}',
        b'{"boot": "boot-1", "sightings": {"x": ["v1", 1, 1' + b"0" * 400 + b"]}}",
        b"[" * 100_000,
    ],
    ids=lambda content: content[:60].decode("latin-1"),
)
def test_a_torn_file_means_to_observe_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert load_sightings(path, BOOT, 30.0) == {}


def test_without_a_file_nothing_was_seen(path: Path) -> None:
    assert load_sightings(path, BOOT, 30.0) == {}


def command(path: Path, clock: ManualClock) -> KeptObserver:
    return KeptObserver(path, BOOT, clock.now)


def test_a_command_goes_on_where_the_last_one_stopped(path: Path, clock: ManualClock) -> None:
    for _ in range(3):
        kept = command(path, clock)
        kept.observer.note("x", "v1", sent=clock.now(), reply=clock.now())
        kept.save(["x"])
        clock.advance(10.0)
    assert command(path, clock).observer.silence("x", "v1") == 20.0


def test_a_command_keeps_what_others_saw_meanwhile(path: Path, clock: ManualClock) -> None:
    mine, other = command(path, clock), command(path, clock)
    mine.observer.note("x", "v1", sent=clock.now(), reply=clock.now())
    other.observer.note("y", "v1", sent=clock.now(), reply=clock.now())
    other.save(["y"])
    mine.save(["x"])
    assert set(load_sightings(path, BOOT, clock.now())) == {"x", "y"}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = command(tmp_path / "file" / "observations.json", clock)
    kept.observer.note("x", "v1", sent=clock.now(), reply=clock.now())
    kept.save(["x"])


def test_saving_leaves_no_temporary_file(path: Path) -> None:
    kept_at(path, ("x", "v1", 10.0, 20.0))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_file_is_plain_json(path: Path) -> None:
    kept_at(path, ("x", "v1", 10.0, 20.0))
    assert json.loads(path.read_bytes())["sightings"] == {"x": ["v1", 10.0, 20.0, 0.0]}
