"""I12 finds what is planted: a missing comment, a second one, another one, other words."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.github.records import OutboxEntry, digest
from sentinel.model import layout
from sentinel.testing.checker import Violation
from sentinel.testing.checking.outbox import one_comment_each
from tests.github.stage import GOOD, Stage

NONCE = "0" * 32
TEXT = f"<!-- sentinel issue-1 {NONCE} -->\n\nhello"


def entry(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"comment": 5, "said": digest(TEXT), **changes}
    return OutboxEntry(number=1, nonce=NONCE, **fields).document()


def test_one_comment_for_an_entry_passes() -> None:
    one_comment_each(0.0, [entry()], {1: [(4, "hello"), (5, TEXT)]})


@pytest.mark.parametrize(
    ("stored", "comments"),
    [
        (entry(), {1: []}),
        (entry(), {}),
        (entry(), {1: [(5, TEXT), (6, TEXT)]}),
        (entry(), {1: [(6, TEXT)]}),
        (entry(comment=None), {1: [(5, TEXT)]}),
        (entry(), {1: [(5, f"{TEXT} and more")]}),
        (entry(said=""), {1: [(5, TEXT)]}),
        (entry(), {1: [(5, TEXT)], 2: [(7, f"<!-- sentinel issue-2 {NONCE} -->\n\nhello")]}),
    ],
    ids=["none", "no list", "two", "another", "unknown", "other words", "not taken note of", "no entry"],
)
def test_what_is_planted_is_i12(stored: dict[str, Any], comments: dict[int, list[tuple[int, str]]]) -> None:
    with pytest.raises(Violation, match=r"^I12 at "):
        one_comment_each(0.0, [stored], comments)


def test_a_fleet_at_rest_keeps_i12() -> None:
    stage = Stage()
    for by in ("alice", "mallory"):
        stage.hub.open(GOOD, by=by)
    stage.hub.open("no block")
    stage.look()
    snapshot = stage.transactor.store.read()
    entries = [
        document for key in snapshot.list(layout.OUTBOX) if (document := snapshot.get(key)) is not None
    ]
    comments = {
        number: [(comment["id"], comment["body"]) for comment in stage.hub.on(number)]
        for number in stage.hub.issues
    }
    assert len(entries) == 3
    one_comment_each(0.0, entries, comments)
