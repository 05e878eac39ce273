"""Making and opening the repository of a local store, and every way in which that can be impossible."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sentinel.errors import BadInput, NotAStore, StoreError, Unavailable
from sentinel.model.layout import FLEET, STATE_REF
from sentinel.store.base import ABSENT
from sentinel.store.local import LocalStore, create_local, open_local
from sentinel.store.opener import StoreOptions, create_store, open_store
from sentinel.store.repository import network_file_system, path_of_url
from sentinel.testing.workbench import landed, transaction

OPTIONS = StoreOptions(actor="worker-001", fsync=False)


def sentence(caught: pytest.ExceptionInfo[BaseException], path: object) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_a_store_is_made_once_and_then_left_alone(tmp_path: Path) -> None:
    url = str(tmp_path / "a" / "fleet.git")
    assert create_store(url, OPTIONS) == [
        f"Made the bare repository {url}.",
        "Set receive.autogc to false.",
        "Set gc.auto to 0.",
        "Made the branch sentinel/state in it.",
    ]
    root = pygit2.Repository(url).lookup_reference(STATE_REF).target
    assert create_store(url, OPTIONS) == []
    assert pygit2.Repository(url).lookup_reference(STATE_REF).target == root


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    url = tmp_path / "fleet.git"
    assert create_store(str(url), OPTIONS, dry_run=True) == [
        f"Would make the bare repository {url}.",
        "Would make the branch sentinel/state in it.",
    ]
    assert not url.exists()
    create_store(str(url), OPTIONS)
    assert create_store(str(url), OPTIONS, dry_run=True) == []


def test_a_new_store_is_a_plain_bare_repository_with_one_signed_off_root(tmp_path: Path) -> None:
    url = str(tmp_path / "fleet.git")
    create_store(url, OPTIONS)
    repository = pygit2.Repository(url)
    commit = repository.lookup_reference(STATE_REF).peel(pygit2.Commit)
    assert repository.is_bare
    assert repository.lookup_reference("HEAD").target == STATE_REF
    assert (commit.parents, commit.author.email) == ([], "worker-001@sentinel.invalid")
    assert commit.message.startswith("make the fleet by worker-001\n\nSentinel-Nonce: ")
    assert "\nSentinel-Tx: " in commit.message
    assert [repository.config[name] for name in ("receive.autogc", "gc.auto")] == ["false", "0"]


def test_the_fleet_record_says_who_made_the_store_and_when(tmp_path: Path) -> None:
    url = str(tmp_path / "fleet.git")
    create_store(url, OPTIONS)
    document = open_store(url, OPTIONS).read().get(FLEET)
    assert document is not None
    assert sorted(document) == ["created_at", "created_by", "format", "paths", "rev", "tx"]


def test_a_bare_repository_with_code_in_it_can_become_a_store(tmp_path: Path) -> None:
    path = tmp_path / "code.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    assert create_store(str(path), OPTIONS)[-1] == "Made the branch sentinel/state in it."
    assert list(open_store(str(path), OPTIONS).read().list("tasks/")) == []


def test_an_empty_folder_becomes_a_store(tmp_path: Path) -> None:
    create_store(str(tmp_path), OPTIONS)
    open_store(str(tmp_path), OPTIONS).close()


@pytest.mark.parametrize("left", [["objects"], ["objects", "refs", "HEAD"], ["hooks", "info"]])
def test_a_store_whose_making_was_cut_short_is_finished_by_the_next(tmp_path: Path, left: list[str]) -> None:
    path = tmp_path / "fleet.git"
    for name in left:
        (path / name).mkdir(parents=True) if name != "HEAD" else (path / name).write_text("")
    create_store(str(path), OPTIONS)
    open_store(str(path), OPTIONS).close()


def test_a_killed_making_leaves_no_second_root(tmp_path: Path) -> None:
    path = tmp_path / "fleet.git"
    pygit2.init_repository(str(path), bare=True)
    create_store(str(path), OPTIONS)
    create_store(str(path), OPTIONS)
    commits = list(pygit2.Repository(str(path)).walk(open_local(str(path), OPTIONS).read().commit))
    assert len(commits) == 1


def test_a_missing_path_names_it_and_init(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.git"
    with pytest.raises(NotAStore) as caught:
        open_store(str(path), OPTIONS)
    assert f"sentinel init --store {path}" in sentence(caught, path)


@pytest.mark.parametrize("act", [open_store, create_store])
def test_a_folder_that_is_no_repository_is_neither_opened_nor_filled(
    tmp_path: Path, act: Callable[[str, StoreOptions], object]
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(NotAStore, match="not a Git repository"):
        act(str(tmp_path), OPTIONS)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("act", [open_store, create_store])
def test_a_path_that_is_a_file_is_one_sentence(
    tmp_path: Path, act: Callable[[str, StoreOptions], object]
) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(StoreError) as caught:
        act(str(path), OPTIONS)
    sentence(caught, path)


@pytest.mark.parametrize("act", [open_store, create_store])
def test_a_repository_with_a_working_tree_is_refused(
    tmp_path: Path, act: Callable[[str, StoreOptions], object]
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "work")], check=True)
    for path in (tmp_path / "work", tmp_path / "work" / ".git"):
        with pytest.raises(NotAStore, match="working tree"):
            act(str(path), OPTIONS)


def test_a_repository_without_a_fleet_names_init(tmp_path: Path) -> None:
    path = tmp_path / "code.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    with pytest.raises(NotAStore) as caught:
        open_store(str(path), OPTIONS)
    assert f"sentinel init --store {path}" in sentence(caught, path)


@pytest.mark.parametrize("act", [open_store, create_store])
def test_a_branch_of_that_name_that_is_not_sentinels_is_refused(
    tmp_path: Path, act: Callable[[str, StoreOptions], object]
) -> None:
    repository = pygit2.init_repository(str(tmp_path), bare=True)
    who = pygit2.Signature("Somebody", "somebody@example.org")
    repository.create_commit(STATE_REF, who, who, "mine", repository.TreeBuilder().write(), [])
    with pytest.raises(NotAStore, match="not made by Sentinel"):
        act(str(tmp_path), OPTIONS)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b'{"format":2,"rev":1}', "upgrade"),
        (b"{torn", "fleet"),
        (b'{"format":"x"}', "format"),
        (b'{"format":1,"rev":1}', "otherwise"),
    ],
)
def test_a_fleet_record_that_cannot_be_understood_is_one_sentence(
    local: Any, content: bytes, hint: str
) -> None:
    local.plant(FLEET, content)
    with pytest.raises(NotAStore) as caught:
        local.client()
    assert hint in sentence(caught, local.path)


def test_a_client_notices_that_the_fleet_was_upgraded_beside_it(local: Any) -> None:
    store = local.client()
    local.plant(FLEET, b'{"format":2,"rev":2}')
    with pytest.raises(NotAStore, match="upgrade"):
        store.read()


def test_a_repository_of_another_object_format_is_refused(tmp_path: Path, require: Any) -> None:
    path = tmp_path / "sha256.git"
    made = subprocess.run(
        ["git", "init", "-q", "--bare", "--object-format=sha256", str(path)], check=False, capture_output=True
    )
    require("git-sha256", made.returncode == 0, "this git makes no SHA-256 repositories")
    with pytest.raises(NotAStore, match="kind that cannot be a store"):
        create_store(str(path), OPTIONS)


def test_a_repository_with_another_ref_format_is_refused(local: Any) -> None:
    with (local.path / "config").open("a") as config:
        config.write("[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefstorage = reftable\n")
    with pytest.raises(NotAStore, match="kind that cannot be a store"):
        local.client()


def test_a_store_on_a_full_disk_is_one_sentence_with_the_path(local: Any, python: Any) -> None:
    process = python("full_disk", local.path)
    text, _ = process.communicate(timeout=60)
    said = text.splitlines()
    assert len(said) == 4, text
    for line in said:
        kind, _, reason = line.partition(": ")
        assert kind == "Unavailable"
        assert str(local.path.parent) in reason
    store = local.client()
    assert list(store.read().list("tasks/")) == []
    assert dict(store.published()) == {}
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


def test_a_store_without_permission_is_one_sentence_with_the_path(tmp_path: Path, require: Any) -> None:
    require("unprivileged", os.geteuid() != 0, "root may read everything")
    path = tmp_path / "fleet.git"
    create_store(str(path), OPTIONS)
    path.chmod(0)
    try:
        with pytest.raises(Unavailable) as caught:
            open_store(str(path), OPTIONS)
        sentence(caught, path)
    finally:
        path.chmod(0o755)


def test_an_actor_whose_name_git_would_not_take_is_made_harmless(local: Any) -> None:
    store = LocalStore(local.path, actor="we <ird>\n", fsync=False)
    revision = landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    author = pygit2.Repository(str(local.path))[revision].peel(pygit2.Commit).author
    assert (author.name, author.email) == ("we-ird-", "we-ird-@sentinel.invalid")


def test_commits_are_dated_by_the_clock_they_are_given(local: Any, sleepless: Any) -> None:
    sleepless.day = 1_000_000_000.75
    store = local.open(clock=sleepless)
    revision = landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert pygit2.Repository(str(local.path))[revision].peel(pygit2.Commit).commit_time == 1_000_000_000
    store.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/fleet.git", "/srv/fleet.git"),
        ("file:///srv/fleet.git", "/srv/fleet.git"),
        ("file://localhost/srv/fleet.git", "/srv/fleet.git"),
        ("file:///srv/my%20fleet.git", "/srv/my fleet.git"),
        ("/srv/100%25", "/srv/100%25"),
    ],
)
def test_a_url_or_a_path_names_a_folder(url: str, path: str) -> None:
    assert path_of_url(url) == Path(path)


def test_a_relative_path_is_taken_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_of_url("./fleet.git") == tmp_path / "fleet.git"


@pytest.mark.parametrize("url", ["file://server/srv/fleet.git", "file://fleet.git", "file://"])
def test_a_file_url_with_a_host_is_refused_naming_ssh(url: str) -> None:
    with pytest.raises(BadInput, match=r"git\+ssh"):
        path_of_url(url)


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /mnt/nfs nfs4 rw 0 0
//server/share /mnt/with\\040blank cifs rw 0 0
user@host: /mnt/remote fuse.sshfs rw 0 0
tmpfs /mnt/nfs/scratch tmpfs rw 0 0
C: /mnt/c 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/fleet.git", None),
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfs/deep/fleet.git", "nfs4"),
        ("/mnt/nfsx/fleet.git", None),
        ("/mnt/with blank/fleet.git", "cifs"),
        ("/mnt/remote/fleet.git", "fuse.sshfs"),
        ("/mnt/nfs/scratch/fleet.git", None),
        ("/mnt/c/fleet.git", "9p"),
    ],
)
def test_a_network_file_system_is_told_by_the_mount_that_a_path_is_on(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_the_root_of_a_sandbox_is_no_network_file_system() -> None:
    assert network_file_system(Path("/srv/fleet.git"), "none / 9p rw 0 0\n") is None


@pytest.mark.parametrize("act", [open_local, create_local])
def test_a_store_on_a_network_file_system_is_refused_naming_ssh(
    local: Any, monkeypatch: pytest.MonkeyPatch, act: Callable[[str, StoreOptions], object]
) -> None:
    monkeypatch.setattr("sentinel.store.repository.network_file_system", lambda *_: "nfs4")
    with pytest.raises(NotAStore) as caught:
        act(str(local.path), OPTIONS)
    text = sentence(caught, local.path)
    assert "nfs4" in text
    assert "git+ssh://" in text
