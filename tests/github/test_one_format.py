"""Peers on git and peers on the API can share a repository: what one writes, the other reads, to the byte.

The emulator has no git and git's own server no API, so the objects are carried from one to the other here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from sentinel.github.api import Api
from sentinel.github.git import GitData
from sentinel.github.store import ApiStore
from sentinel.model.layout import SESSION_REFS, STATE_REF
from sentinel.store.base import ABSENT, Committed, Conflicted
from sentinel.store.location import locate
from sentinel.store.objects import TREE_MODE
from sentinel.store.opener import StoreOptions
from sentinel.store.remote import RemoteStore
from sentinel.testing.workbench import landed, transaction
from tests.github.bench import ApiBench
from tests.github.conftest import MakeApi
from tests.remote.bench import make_repository


@pytest.fixture
def bench(make_api: MakeApi, tmp_path: Path) -> Iterator[ApiBench]:
    bench = ApiBench(make_api, tmp_path / "api")
    yield bench
    bench.close()


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    """An empty bare repository, as git serves it."""
    make_repository(tmp_path / "fleet.git")
    return pygit2.Repository(str(tmp_path / "fleet.git"))


def by_git(repository: pygit2.Repository, folder: Path) -> RemoteStore:
    options = StoreOptions(actor="git-peer", state_folder=folder)
    return RemoteStore(locate(f"git+file://{repository.path}"), options, environ={})


def refs(git: GitData) -> dict[str, str]:
    """Where the fleet's refs are on GitHub."""
    found = {SESSION_REFS + name: sha for name, sha in git.refs(SESSION_REFS).items()}
    head = git.ref(STATE_REF)
    assert head is not None
    return found | {STATE_REF: head}


def to_git(git: GitData, repository: pygit2.Repository) -> None:
    """Carry everything from GitHub; each object must come out under the name that it has there."""

    def tree(sha: str) -> None:
        builder = repository.TreeBuilder()
        for name, entry in (git.tree(sha) or {}).items():
            if entry.mode == TREE_MODE:
                tree(str(entry.oid))
            else:
                assert repository.create_blob(git.blob(str(entry.oid))) == entry.oid
            builder.insert(name, entry.oid, entry.mode)
        assert str(builder.write()) == sha

    def commit(sha: str) -> None:
        if sha in repository:
            return
        found = git.commit(sha)
        for parent in found.parents:
            commit(parent)
        tree(found.tree)
        assert found.at is not None
        who = pygit2.Signature(found.author, f"{found.author}@sentinel.invalid", int(found.at), 0)
        parents = [pygit2.Oid(hex=parent) for parent in found.parents]
        made = repository.create_commit(None, who, who, found.message, pygit2.Oid(hex=found.tree), parents)
        assert str(made) == sha

    for name, sha in refs(git).items():
        commit(sha)
        with repository.transaction() as change:
            change.lock_ref(name)
            change.set_target(name, pygit2.Oid(hex=sha))


def to_github(repository: pygit2.Repository, git: GitData, api: Api) -> None:
    """Carry everything back, the other way."""

    def tree(oid: pygit2.Oid) -> None:
        entries = []
        for entry in repository[oid].peel(pygit2.Tree):
            if entry.filemode == TREE_MODE:
                tree(entry.id)
                entries.append({"path": entry.name, "mode": "040000", "type": "tree", "sha": str(entry.id)})
            else:
                assert git.make_blob(repository[entry.id].peel(pygit2.Blob).data) == str(entry.id)
                entries.append({"path": entry.name, "mode": "100644", "type": "blob", "sha": str(entry.id)})
        made = api.send("POST", f"{api.place.path}/git/trees", {"tree": entries})
        assert made.body["sha"] == str(oid)

    def commit(oid: pygit2.Oid) -> None:
        if git.knows(str(oid)):
            return
        found = repository[oid].peel(pygit2.Commit)
        for parent in found.parent_ids:
            commit(parent)
        tree(found.tree_id)
        parents = [str(parent) for parent in found.parent_ids]
        assert git.make_commit(found.message, str(found.tree_id), parents, found.author) == str(oid)

    known = refs(git)
    for name in repository.listall_references():
        if name == STATE_REF or name.startswith(SESSION_REFS):
            oid = repository.lookup_reference(name).target
            assert isinstance(oid, pygit2.Oid)
            commit(oid)
            path = f"{api.place.path}/git/refs"
            if name in known:
                api.send("PATCH", f"{path}/{name.removeprefix('refs/')}", {"sha": str(oid), "force": True})
            else:
                api.send("POST", path, {"ref": name, "sha": str(oid)})


def test_a_peer_on_git_reads_and_seals_what_a_peer_on_the_api_wrote(
    bench: ApiBench, repository: pygit2.Repository, tmp_path: Path
) -> None:
    mine = bench.client()
    landed(mine, transaction({"tasks/a": ABSENT}, {"tasks/a": {"text": "żółw ☃"}}))
    first = mine.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    second = mine.publish("ab", {"seq": 2}, first.revision)
    assert isinstance(second, Committed)
    to_git(GitData(bench.api), repository)
    theirs = by_git(repository, tmp_path / "git")
    assert theirs.read().get("tasks/a") == {"format": 1, "text": "żółw ☃"}
    register = theirs.published()["ab"]
    assert (register.version, register.document) == (second.revision, {"format": 1, "seq": 2})
    assert isinstance(theirs.publish("ab", {"sealed_by": "git-peer"}, second.revision), Committed)
    theirs.close()


def test_a_peer_on_the_api_reads_and_seals_what_a_peer_on_git_wrote(
    bench: ApiBench, repository: pygit2.Repository, tmp_path: Path
) -> None:
    mine = bench.client()
    assert isinstance(mine, ApiStore)
    to_git(GitData(bench.api), repository)
    theirs = by_git(repository, tmp_path / "git")
    landed(theirs, transaction({"tasks/b": ABSENT}, {"tasks/b": {"text": "żółw ☃"}}))
    first = theirs.publish("cd", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    second = theirs.publish("cd", {"seq": 2}, first.revision)
    assert isinstance(second, Committed)
    theirs.close()
    to_github(repository, GitData(bench.api), bench.api)
    assert mine.read().get("tasks/b") == {"format": 1, "text": "żółw ☃"}
    register = mine.published()["cd"]
    assert (register.version, register.document) == (second.revision, {"format": 1, "seq": 2})
    assert mine.publish("cd", {"sealed_by": "late"}, first.revision) == Conflicted(("cd",))
    assert isinstance(mine.publish("cd", {"sealed_by": "api-peer"}, second.revision), Committed)
    landed(mine, transaction({"tasks/c": ABSENT}, {"tasks/c": {}}))
