"""How keys lie in a Git tree, and what lies beside them."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import BadRecord, Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT, DELETE, Refused
from sentinel.store.objects import Objects
from sentinel.store.tree import MAX_NAME_BYTES, GitSnapshot, path_of
from sentinel.testing.workbench import attempt, landed, transaction

KEYS = st.text(min_size=1, max_size=40) | st.from_regex(r"[a-z]{1,5}/[a-z0-9._%/A-Z-]{1,20}", fullmatch=True)


@given(KEYS)
def test_every_part_of_a_path_is_a_legal_and_portable_tree_entry(key: str) -> None:
    try:
        path = path_of(key)
    except ValueError:
        return
    for part in path:
        assert part not in ("", ".", "..")
        assert part.lower() != ".git"
        assert part == part.lower()
        assert set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-%")
        assert len(part) <= 255


@given(KEYS, KEYS)
def test_different_keys_have_different_paths_and_none_inside_another(one: str, two: str) -> None:
    try:
        paths = path_of(one), path_of(two)
    except ValueError:
        return
    if one != two:
        assert paths[0] != paths[1][: len(paths[0])]


def test_a_task_lies_two_hash_levels_deep_under_its_own_name() -> None:
    assert path_of("tasks/build-42") == ("tasks", "17", "fd", "build-42.json")
    assert path_of("fleet") == ("fleet.json",)
    assert path_of("locks/.floor")[-1] == ".floor.json"


def test_names_that_differ_in_their_last_character_share_a_folder_and_others_are_spread() -> None:
    ids = [f"build-{number:05}" for number in range(20_000)]
    folders = Counter(path_of(f"tasks/{id}")[:3] for id in ids)
    assert len({path_of(f"tasks/build-1234{digit}")[:3] for digit in range(10)}) == 1
    assert len(folders) > 1_900
    assert max(folders.values()) <= 40


@pytest.mark.parametrize("key", ["", "/", "/a", "tasks/", "a\ud800", "tasks/" + "x" * (MAX_NAME_BYTES + 1)])
def test_a_key_that_has_no_path_is_absent_and_cannot_be_written(local: Any, key: str) -> None:
    store = local.client()
    assert (store.read().get(key), store.read().version(key)) == (None, ABSENT)
    outcome = attempt(store, transaction({key: ABSENT}, {key: {}}))
    assert isinstance(outcome, Refused)


def tree_of(path: Path) -> pygit2.Tree:
    found = pygit2.Repository(str(path))
    return found.lookup_reference(STATE_REF).peel(pygit2.Tree)


def test_files_of_somebody_else_are_not_seen_and_stay(local: Any) -> None:
    foreign = [
        "README.md",
        "tasks/notes.txt",
        "tasks/9b/f1/LOUD.json",
        "tasks/00/00/build-42.json",
        "docs/a/b/c.json",
    ]
    for name in foreign:
        local.plant_path(name, b"mine")
    store = local.client()
    assert list(store.read().list("tasks/")) == []
    landed(store, transaction({"tasks/build-42": ABSENT}, {"tasks/build-42": {}}))
    landed(
        store,
        transaction({"tasks/build-42": store.read().version("tasks/build-42")}, {"tasks/build-42": DELETE}),
    )
    tree = tree_of(local.path)
    assert [name for name in foreign if name not in tree] == []


def test_a_folder_that_becomes_empty_leaves_the_tree(local: Any) -> None:
    store = local.client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    landed(store, transaction({"tasks/a": store.read().version("tasks/a")}, {"tasks/a": DELETE}))
    assert [entry.name for entry in tree_of(local.path)] == ["fleet.json"]


def test_somebodys_file_where_a_folder_must_be_gives_way(local: Any) -> None:
    local.plant_path("tasks", b"a file")
    store = local.client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}


def test_somebodys_folder_where_a_record_would_be_is_no_record(local: Any) -> None:
    local.plant_path("/".join((*path_of("tasks/a"), "inside")), b"a file")
    store = local.client()
    assert list(store.read().list("tasks/")) == []
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}


def test_a_record_that_is_a_symbolic_link_is_unreadable(local: Any) -> None:
    store = local.client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    repository = pygit2.Repository(str(local.path))
    index = pygit2.Index()
    index.read_tree(tree_of(local.path))
    path = "/".join(path_of("tasks/link"))
    index.add(pygit2.IndexEntry(path, repository.create_blob(b'{"format":1}'), pygit2.enums.FileMode.LINK))
    reference = repository.lookup_reference(STATE_REF)
    who = pygit2.Signature("Somebody", "somebody@example.org")
    tree = index.write_tree(repository)
    reference.set_target(repository.create_commit(None, who, who, "a link", tree, [reference.target]))
    snapshot = store.read()
    assert sorted(snapshot.list("tasks/")) == ["tasks/a", "tasks/link"]
    with pytest.raises(BadRecord, match="plain file"):
        snapshot.get("tasks/link")


def test_a_record_whose_content_is_lost_is_unreadable_and_the_others_are_not(local: Any) -> None:
    store = local.client()
    landed(
        store, transaction({"tasks/a": ABSENT, "tasks/b": ABSENT}, {"tasks/a": {"n": 1}, "tasks/b": {"n": 2}})
    )
    file_of(local.path, store.read().version("tasks/a")).unlink()
    snapshot = local.client().read()
    assert sorted(snapshot.list("tasks/")) == ["tasks/a", "tasks/b"]
    with pytest.raises(BadRecord, match="missing or damaged"):
        snapshot.get("tasks/a")
    assert snapshot.get("tasks/b") == {"format": 1, "n": 2}


def test_a_record_whose_content_is_damaged_is_unreadable(local: Any) -> None:
    store = local.client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    blob = file_of(local.path, store.read().version("tasks/a"))
    blob.chmod(0o644)
    blob.write_bytes(b"not zlib")
    with pytest.raises(BadRecord):
        local.client().read().get("tasks/a")


def test_a_lost_folder_is_one_sentence_that_names_the_object_and_fsck(local: Any) -> None:
    store = local.client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    oid = str(tree_of(local.path)["tasks"].id)
    file_of(local.path, oid).unlink()
    with pytest.raises(Unavailable, match=f"{oid}.*fsck"):
        list(local.client().read().list("tasks/"))


def test_a_huge_blob_is_unreadable_without_being_loaded(local: Any) -> None:
    local.plant("tasks/huge", b"x" * 1_000_000)
    with pytest.raises(BadRecord, match="1000000 bytes"):
        local.client().read().get("tasks/huge")


def test_a_commit_writes_only_the_folders_on_its_way(local: Any) -> None:
    store = local.client()
    keys = [f"{folder}/t{number}" for folder in ("tasks", "done") for number in range(20)]
    landed(store, transaction(dict.fromkeys(keys, ABSENT), {key: {} for key in keys}))
    before = objects_in(local.path)
    landed(store, transaction({"tasks/new": ABSENT}, {"tasks/new": {"n": 1}}))
    # The commit, the blob, and the trees: root, folder, two hash levels.
    assert objects_in(local.path) - before == 6


def objects_in(path: Path) -> int:
    found = subprocess.run(
        ["git", "-C", str(path), "count-objects", "-v"], check=True, capture_output=True, text=True
    )
    counts = dict(line.split(": ", 1) for line in found.stdout.splitlines())
    return int(counts["count"]) + int(counts["in-pack"])


def file_of(path: Path, oid: str) -> Path:
    """The file of this object alone, after all objects were taken out of their packs."""
    for pack in (path / "objects" / "pack").glob("*.pack"):
        content = pack.read_bytes()
        for file in pack.parent.glob(pack.stem + ".*"):
            file.unlink()
        # Git unpacks only what it does not have.
        subprocess.run(["git", "-C", str(path), "unpack-objects", "-q"], check=True, input=content)
    return path / "objects" / oid[:2] / oid[2:]


def test_reading_a_snapshot_again_after_an_unrelated_commit_reads_only_what_is_new(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = local.client()
    keys = [f"tasks/t{number}" for number in range(50)]
    landed(store, transaction(dict.fromkeys(keys, ABSENT), {key: {"key": key} for key in keys}))
    snapshot = store.read()
    documents = {key: snapshot.get(key) for key in snapshot.list("tasks/")}
    assert len(documents) == 50
    parsed: list[object] = []
    real = Objects._raw

    def raw(self: Objects, oid: pygit2.Oid) -> tuple[int, bytes]:
        parsed.append(oid)
        return real(self, oid)

    monkeypatch.setattr(Objects, "_raw", raw)
    landed(store, transaction({"locks/a": ABSENT}, {"locks/a": {}}))
    snapshot = store.read()
    assert {key: snapshot.get(key) for key in snapshot.list("tasks/")} == documents
    assert (
        parsed == []
    )  # the client wrote the new trees itself, and those below `tasks` are the same as before


def test_a_small_cache_forgets_and_reads_again(local: Any) -> None:
    store = local.client()
    keys = [f"tasks/t{number}" for number in range(30)]
    landed(store, transaction(dict.fromkeys(keys, ABSENT), {key: {"key": key} for key in keys}))
    objects = Objects(pygit2.Repository(str(local.path)))
    for cache in (objects._trees, objects._records):
        cache._limit = 1
    snapshot = GitSnapshot(objects, store.read().commit)
    for _ in range(2):
        assert {key: (snapshot.get(key) or {})["key"] for key in snapshot.list("tasks/")} == {
            k: k for k in keys
        }
    assert len(objects._records) <= 2
