"""What only the local store has: artifacts on one ref a day, syncing, and what its registers leave behind."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import types
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sentinel.errors import OutcomeUnknown, Unavailable
from sentinel.model.layout import ARTIFACT_REFS, STATE_REF, artifact_ref
from sentinel.store import durability
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted
from sentinel.store.local import LocalStore
from sentinel.store.registers import LEFTOVER_SECONDS
from sentinel.testing.workbench import landed, transaction

DAY = 86_400.0


def artifacts(path: Path) -> dict[str, list[pygit2.Commit]]:
    """The commits of each artifact ref, newest first."""
    found = pygit2.Repository(str(path))
    return {
        name: list(found.walk(found.lookup_reference(name).target))
        for name in found.references
        if name.startswith(ARTIFACT_REFS)
    }


def test_what_is_kept_in_one_call_hangs_on_one_commit_of_the_day(local: Any, sleepless: Any) -> None:
    sleepless.day = 1_795_305_600.0 - 1  # the last second of 2026-11-21
    store = local.open(clock=sleepless)
    names = store.keep([b"a", b"b"])
    more = store.keep([b"c"])
    sleepless.day += 1
    store.keep([b"d"])
    store.close()
    found = artifacts(local.path)
    assert {name: len(commits) for name, commits in found.items()} == {
        artifact_ref("2026-11-21"): 2,
        artifact_ref("2026-11-22"): 1,
    }
    newest, first = found[artifact_ref("2026-11-21")]
    assert {str(entry.id) for entry in first.tree} == set(names)
    assert [str(entry.id) for entry in newest.tree] == more


def test_what_is_kept_survives_a_collection_of_garbage(local: Any) -> None:
    store = local.client()
    (name,) = store.keep([b"a log"])
    subprocess.run(["git", "-C", str(local.path), "gc", "-q", "--prune=now"], check=True)
    assert local.client().kept(name) == b"a log"
    assert store.kept(name) == b"a log"
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


def test_keeping_leaves_the_state_alone(local: Any) -> None:
    store = local.client()
    before = store.read().revision
    store.keep([b"a log"])
    assert store.read().revision == before


def test_a_lock_that_a_dead_keeper_left_is_removed_at_once(local: Any, sleepless: Any) -> None:
    store = local.open(clock=sleepless)
    store.keep([b"a"])
    (ref,) = artifacts(local.path)
    (local.path / "sentinel" / "flock").write_text(f"{'a' * 40} {ref}\n")
    (local.path / f"{ref}.lock").touch()
    began = sleepless.now()
    store.keep([b"b"])
    assert sleepless.now() - began < 1.0
    store.close()


def test_keeping_past_a_foreign_lock_gives_up_for_now_and_says_what_is_in_the_way(
    local: Any, sleepless: Any
) -> None:
    store = local.open(clock=sleepless)
    store.keep([b"a"])
    (ref,) = artifacts(local.path)
    (local.path / f"{ref}.lock").write_text("b" * 40)
    with pytest.raises(Unavailable, match=r"\.lock stands in the way"):
        store.keep([b"b"])
    store.close()


def test_a_keep_whose_outcome_is_open_is_unavailable_and_can_be_repeated(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = local.client()

    def move(*_: object) -> bool:
        raise OutcomeUnknown("whether it landed is open")

    monkeypatch.setattr(store._refs, "move", move)
    with pytest.raises(Unavailable):
        store.keep([b"a"])
    monkeypatch.undo()
    assert store.kept(store.keep([b"a"])[0]) == b"a"


def test_a_commit_is_no_blob(local: Any) -> None:
    store = local.client()
    assert store.kept(store.read().revision) is None


def test_the_audit_has_every_note_and_below_them_the_nonce_and_the_transaction_ids(local: Any) -> None:
    store = local.open()
    batch = [
        transaction({f"tasks/{n}": ABSENT}, {f"tasks/{n}": {}}, f"create {n}", f"tx-{n}")
        for n in ("a", "b", "c")
    ]
    store.commit(batch)
    store.close()
    text = pygit2.Repository(str(local.path)).lookup_reference(STATE_REF).peel(pygit2.Commit).message
    notes, _, trailers = text.partition("Sentinel-Nonce: ")
    assert all(f"create {n}" in notes for n in ("a", "b", "c"))
    assert trailers.splitlines()[1:] == [f"Sentinel-Tx: tx-{n}" for n in ("a", "b", "c")]


def test_a_client_that_commits_for_ever_remembers_only_the_latest(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.store.local._REMEMBERED", 10)
    store = local.client()
    for number in range(25):
        landed(store, transaction({f"tasks/{number}": ABSENT}, {f"tasks/{number}": {}}))
    assert len(store._landed) == 10


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What libgit2 was told about syncing, in order."""
    told: list[bool] = []
    settings = types.SimpleNamespace(enable_fsync_gitdir=told.append)
    monkeypatch.setattr(durability, "pygit2", types.SimpleNamespace(settings=settings))
    return told


def test_libgit2_is_told_to_sync_while_a_client_opens_the_refs_and_no_longer(
    make_local_bench: Any, switch: list[bool]
) -> None:
    bench = make_local_bench(fsync=True)
    switch.clear()
    store = bench.client()
    assert switch == [True, False]
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert switch == [True, False]
    bench.close()


@pytest.mark.parametrize("fsync", [True, False])
def test_all_that_a_commit_needs_is_on_the_disk_before_the_ref_names_it(
    make_local_bench: Any, python: Any, tmp_path: Path, require: Any, *, fsync: bool
) -> None:
    require("strace", shutil.which("strace") is not None, "no strace on PATH to look at system calls")
    bench = make_local_bench(fsync=fsync)
    calls = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,rename,link,fdatasync,sync", "-o", str(calls)]
    process = python("commit_once", bench.path, int(fsync), under=trace)
    said, _ = process.communicate(timeout=60)
    require("ptrace", process.returncode == 0, "strace may not trace here")
    lines = calls.read_text().splitlines()
    moved = next(
        number for number, line in enumerate(lines) if "rename(" in line and f"{STATE_REF}.lock" in line
    )
    before, after = "\n".join(lines[:moved]), "\n".join(lines[moved:])
    assert len(said.split()) == 6
    (pack,) = (bench.path / "objects" / "pack").glob("*.pack")
    repository = pygit2.Repository(str(bench.path))
    assert all(oid in repository for oid in said.split())
    for suffix in (".pack", ".idx"):
        assert (f"{pack.with_suffix(suffix).name}>" in before) is fsync
    assert ("objects/pack>" in before) is fsync
    assert (f"{STATE_REF}.lock>" in before) is fsync
    assert (f"{(bench.path / STATE_REF).parent}>" in after) is fsync
    assert ("sync(" in before + after) is fsync


def test_without_syncing_libgit2_is_never_told_to(make_local_bench: Any, switch: list[bool]) -> None:
    bench = make_local_bench()
    landed(bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    bench.close()
    assert switch == []


def test_a_client_that_cannot_open_its_store_does_not_leave_syncing_on(
    tmp_path: Path, switch: list[bool]
) -> None:
    with pytest.raises(Exception, match="does not exist"):
        LocalStore(tmp_path / "nowhere.git", fsync=True)
    assert switch[-1] is False
    assert durability._users == 0


def test_making_a_store_makes_the_folders_whose_entries_libgit2_would_not_sync(local: Any) -> None:
    assert len([entry for entry in (local.path / "objects").iterdir() if len(entry.name) == 2]) == 256
    assert (local.path / "refs/heads/sentinel").is_dir()
    assert (local.path / "refs/sentinel/artifacts").is_dir()


def sessions(path: Path) -> Path:
    return path / "sentinel" / "sessions"


def test_what_killed_writers_left_is_swept_after_a_day_and_nothing_else(local: Any) -> None:
    store = local.client()
    store.publish("aa", {"seq": 1}, ABSENT)
    values = sessions(local.path) / "values"
    (live,) = values.iterdir()
    old, young = values / f"bb-{'0' * 11}1-{'1' * 32}", values / f"bb-{'0' * 11}1-{'2' * 32}"
    made = sessions(local.path) / "new" / "bb-half"
    made.mkdir()
    (made / "pointer").touch()
    for left in (old, young):
        left.write_text("{}")
    long_ago = young.stat().st_mtime - LEFTOVER_SECONDS - 60
    for left in (old, live, made):
        os.utime(left, (long_ago, long_ago))
    store.publish("cc", {"seq": 1}, ABSENT)
    assert (old.exists(), young.exists(), live.exists(), made.exists()) == (False, True, True, False)
    assert sorted(store.published()) == ["aa", "cc"]


def test_a_register_whose_value_is_lost_is_unreadable_and_can_be_replaced(local: Any) -> None:
    store = local.client()
    outcome = store.publish("aa", {"seq": 1}, ABSENT)
    for value in (sessions(local.path) / "values").iterdir():
        value.unlink()
    register = store.published()["aa"]
    assert (register.version, register.document) == (outcome.revision, None)
    assert register.problem == "its value is missing"
    assert isinstance(store.publish("aa", {"seq": 2}, register.version), Committed)


def test_a_folder_without_a_pointer_is_no_register_and_can_become_one(local: Any) -> None:
    store = local.client()
    (sessions(local.path) / "live" / "aa").mkdir()
    assert store.published() == {}
    assert store.publish("aa", {"seq": 1}, "000000000001-" + "0" * 32) == Conflicted(("aa",))
    assert isinstance(store.publish("aa", {"seq": 1}, ABSENT), Committed)


def test_strange_files_among_the_registers_are_not_seen(local: Any) -> None:
    store = local.client()
    store.publish("aa", {"seq": 1}, ABSENT)
    live = sessions(local.path) / "live"
    (live / "README").write_text("hands off")
    (live / "bb").write_text("a file")
    (live / "aa" / ".nfs0001").write_text("")
    assert sorted(store.published()) == ["aa"]


@pytest.mark.parametrize("expect", ["../../../etc/passwd", "", "1", "000000000001-" + "g" * 32])
def test_a_version_is_never_taken_for_a_path(local: Any, expect: str) -> None:
    store = local.client()
    store.publish("aa", {"seq": 1}, ABSENT)
    assert store.publish("aa", {"seq": 2}, expect) == Conflicted(("aa",))
    assert store.publish("aa", DELETE, expect) == Conflicted(("aa",))


@pytest.mark.parametrize("name", ["", "../x", "AA", "xyz", "a" * 65, "a/b"])
def test_a_register_name_that_is_not_hexadecimal_is_a_mistake_of_the_caller(local: Any, name: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        local.client().publish(name, {"seq": 1}, ABSENT)


def test_two_clients_with_one_seed_do_not_take_each_others_values(local: Any) -> None:
    one, two = local.open(rng=random.Random(1)), local.open(rng=random.Random(1))
    outcomes = [store.publish("aa", {"by": number}, ABSENT) for number, store in enumerate((one, two))]
    assert [type(outcome) for outcome in outcomes] == [Committed, Conflicted]
    assert one.published()["aa"].document == {"format": 1, "by": 0}
    one.close()
    two.close()


def test_a_locked_up_reader_never_hides_a_folder_it_cannot_list(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = local.client()

    def refuse(self: Path) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(Unavailable, match="Input/output error"):
        store.published()
