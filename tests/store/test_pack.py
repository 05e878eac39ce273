"""Packs as this package writes them: Git takes them for its own, and they do not pile up."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pygit2
import pytest

from sentinel.store.pack import _MANY, BLOB, PackWriter


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "r.git"), bare=True)


def folder_of(repository: pygit2.Repository) -> Path:
    return Path(repository.path) / "objects" / "pack"


def packs(repository: pygit2.Repository) -> list[Path]:
    return sorted(folder_of(repository).glob("*.pack"))


def written(repository: pygit2.Repository, *contents: bytes) -> list[pygit2.Oid]:
    writer = PackWriter(folder_of(repository), sync=False)
    oids = [writer.add(BLOB, content) for content in contents]
    writer.write()
    return oids


def test_git_verifies_a_pack(repository: pygit2.Repository) -> None:
    written(repository, b"", b"a", b"x" * 15, b"x" * 16, b"y" * 100_000)

    (pack,) = packs(repository)

    index = str(pack.with_suffix(".idx"))
    found = subprocess.run(["git", "verify-pack", "-v", index], capture_output=True, text=True, check=True)
    assert sum(" blob " in line for line in found.stdout.splitlines()) == 5


def test_objects_have_the_ids_that_git_gives_them_and_can_be_read(repository: pygit2.Repository) -> None:
    (oid,) = written(repository, b"content")

    assert oid == pygit2.hash(b"content")
    assert repository.odb.read(oid)[1] == b"content"


def test_the_same_object_twice_stands_in_a_pack_once(repository: pygit2.Repository) -> None:
    written(repository, b"same", b"same")

    index = packs(repository)[0].with_suffix(".idx")
    assert int.from_bytes(index.read_bytes()[8 + 255 * 4 : 8 + 256 * 4], "big") == 1


def test_nothing_to_write_is_no_pack(repository: pygit2.Repository) -> None:
    written(repository)

    assert packs(repository) == []


def test_many_small_packs_become_one_that_holds_everything(repository: pygit2.Repository) -> None:
    oids = [oid for number in range(_MANY) for oid in written(repository, b"%d" % number)]

    PackWriter(folder_of(repository), sync=True).tidy()

    (pack,) = packs(repository)
    subprocess.run(["git", "verify-pack", str(pack.with_suffix(".idx"))], check=True)
    fresh = pygit2.Repository(repository.path)
    assert [fresh.odb.read(oid)[1] for oid in oids] == [b"%d" % number for number in range(_MANY)]


def test_few_packs_are_left_as_they_are(repository: pygit2.Repository) -> None:
    for number in range(_MANY - 1):
        written(repository, b"%d" % number)

    PackWriter(folder_of(repository), sync=False).tidy()

    assert len(packs(repository)) == _MANY - 1


def test_a_reader_that_knew_the_packs_finds_everything_after_they_were_put_together(
    repository: pygit2.Repository,
) -> None:
    oids = [oid for number in range(_MANY) for oid in written(repository, b"%d" % number)]
    reader = pygit2.Repository(repository.path)
    assert reader.odb.read(oids[0])[1] == b"0"

    PackWriter(folder_of(repository), sync=False).tidy()

    assert [reader.odb.read(oid)[1] for oid in oids] == [b"%d" % number for number in range(_MANY)]


def test_a_pack_with_differences_is_not_touched(repository: pygit2.Repository) -> None:
    large = b"\n".join(b"line %d" % number for number in range(3000))
    for content in (large, large + b"\nmore"):
        repository.create_blob(content)
    names = "".join(f"{pygit2.hash(content)}\n" for content in (large, large + b"\nmore"))
    base = folder_of(repository) / "pack"
    subprocess.run(
        ["git", "-C", repository.path, "pack-objects", str(base)], input=names.encode(), check=True
    )
    (theirs,) = packs(repository)
    for number in range(_MANY):
        written(repository, b"%d" % number)

    PackWriter(folder_of(repository), sync=False).tidy()

    assert theirs.exists()
    assert len(packs(repository)) == 2


def test_a_pack_that_is_to_be_kept_is_not_touched(repository: pygit2.Repository) -> None:
    for number in range(_MANY):
        written(repository, b"%d" % number)
    kept = packs(repository)[0]
    kept.with_suffix(".keep").touch()

    PackWriter(folder_of(repository), sync=False).tidy()

    assert kept.exists()


def test_a_truncated_pack_is_left_to_others(repository: pygit2.Repository) -> None:
    for number in range(_MANY):
        written(repository, b"%d" % number)
    broken = packs(repository)[0].with_suffix(".idx")
    broken.chmod(0o644)
    broken.write_bytes(broken.read_bytes()[:100])

    PackWriter(folder_of(repository), sync=False).tidy()

    assert broken.with_suffix(".pack").exists()
