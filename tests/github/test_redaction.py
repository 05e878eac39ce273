"""Tokens that are read while the daemon runs are kept out of texts from then on, replaced or not (B11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.github.credential import credential
from sentinel.model.redaction import MASK, READ, Redactor, Secrets
from sentinel.store.credentials import credentials
from sentinel.store.location import locate


def put(file: Path, token: str) -> None:
    """Replace the token, as who rotates it does."""
    new = file.with_name("new")
    new.write_text(f"{token}\n")
    new.replace(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token"


def test_b11_a_token_that_was_put_into_the_file_later_is_taken_out(file: Path) -> None:
    redactor = Redactor()
    put(file, "first-without-a-shape")
    found = credential({"SENTINEL_TOKEN_FILE": str(file)})
    found.token()
    put(file, "second-without-a-shape")
    found.token()
    assert redactor.text("with second-without-a-shape") == f"with {MASK}"


def test_b11_a_token_that_was_replaced_is_still_taken_out(file: Path) -> None:
    put(file, "third-without-a-shape")
    found = credential({"SENTINEL_TOKEN_FILE": str(file)})
    found.token()
    put(file, "fourth-without-a-shape")
    found.token()
    assert Redactor().text("with third-without-a-shape") == f"with {MASK}"


def test_b11_a_token_that_only_git_is_told_is_taken_out(file: Path, tmp_path: Path) -> None:
    redactor = Redactor()
    put(file, "fifth-without-a-shape")
    location = locate("git+https://example.org/fleet.git")
    given = credentials(location, {"SENTINEL_TOKEN_FILE": str(file)}, tmp_path)
    given.remember()
    assert redactor.text("with fifth-without-a-shape") == f"with {MASK}"


def test_a_token_file_that_is_gone_is_no_error_of_the_redactor(file: Path, tmp_path: Path) -> None:
    location = locate("git+https://example.org/fleet.git")
    before = list(READ)
    credentials(location, {"SENTINEL_TOKEN_FILE": str(file)}, tmp_path).remember()
    assert list(READ) == before


def test_of_tokens_that_were_read_the_newest_are_known() -> None:
    read = Secrets()
    for number in range(1_000):
        read.remember(f"token-number-{number}-end")
    redactor = Redactor(read=read)
    assert redactor.text("token-number-999-end token-number-800-end") == f"{MASK} {MASK}"
    assert len(list(read)) < 1_000


def test_a_token_that_holds_another_is_taken_out_whole() -> None:
    read = Secrets()
    read.remember("secret-one")
    assert Redactor(["secret-one-and-more"], read=read).text("secret-one-and-more") == MASK


def test_what_is_too_short_to_be_a_token_is_not_remembered() -> None:
    read = Secrets()
    read.remember("a")
    assert list(read) == []
