"""A state branch that was moved back, deleted, garbled or packed beside the clients that use it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from sentinel.errors import Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT, Committed
from sentinel.store.local import LocalStore
from sentinel.testing.workbench import attempt, landed, transaction


@pytest.fixture
def store(local: Any) -> LocalStore:
    """A client that has read the state."""
    client: LocalStore = local.client()
    client.read()
    return client


def create(store: LocalStore, name: str) -> object:
    return attempt(store, transaction({f"tasks/{name}": ABSENT}, {f"tasks/{name}": {}}))


def git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True)


def test_a_state_that_was_moved_back_is_an_alarm_until_it_is_put_right(local: Any, store: LocalStore) -> None:
    old = store.read().revision
    new = landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    git(local.path, "update-ref", STATE_REF, old)
    with pytest.raises(Unavailable, match=f"update-ref {STATE_REF} {new}"):
        store.read()
    with pytest.raises(Unavailable, match=f"update-ref {STATE_REF} {new}"):
        create(store, "b")
    git(local.path, "update-ref", STATE_REF, new)
    assert isinstance(create(store, "b"), Committed)


def test_a_state_that_was_deleted_is_an_alarm_until_it_is_put_right(local: Any, store: LocalStore) -> None:
    seen = store.read().revision
    git(local.path, "update-ref", "-d", STATE_REF)
    with pytest.raises(Unavailable, match=f"update-ref {STATE_REF} {seen}"):
        store.read()
    git(local.path, "update-ref", STATE_REF, seen)
    assert store.read().revision == seen


def test_a_new_client_takes_the_state_as_it_finds_it(local: Any, store: LocalStore) -> None:
    old = store.read().revision
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    git(local.path, "update-ref", STATE_REF, old)
    assert local.client().read().get("tasks/a") is None


@pytest.mark.parametrize("content", ["", "garbage\n", "ref: refs/heads/main\n", "1" * 40 + "\n"])
def test_a_state_ref_that_holds_garbage_is_one_sentence_with_the_remedy(
    local: Any, store: LocalStore, content: str
) -> None:
    (local.path / STATE_REF).write_text(content)
    with pytest.raises(Unavailable) as caught:
        store.read()
    assert str(local.path) in str(caught.value)
    assert "git" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_packing_the_refs_beside_us_changes_nothing(local: Any, store: LocalStore) -> None:
    create(store, "a")
    git(local.path, "pack-refs", "--all", "--prune")
    assert not (local.path / STATE_REF).exists()
    assert store.read().get("tasks/a") is not None
    assert isinstance(create(store, "b"), Committed)
    assert isinstance(create(local.client(), "c"), Committed)
