"""What GitHub's JSON is read as; what is not as documented counts as absent."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.github.commands import command
from sentinel.github.hub import comment_of, issue_of
from sentinel.github.trust import Person, Policy, may_command, may_run, permission_of, person_of

ISSUE = {"number": 1, "state": "open", "body": "x", "user": {"id": 3, "login": "alice"}, "labels": []}
ALICE = Person(3, "alice")


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {**ISSUE, "number": "1"},
        {**ISSUE, "number": True},
        {**ISSUE, "state": None},
        {**ISSUE, "pull_request": {}} | {"pull_request": {"url": "x"}},
    ],
)
def test_what_is_no_issue_is_none(raw: Any) -> None:
    assert issue_of(raw) is None


@pytest.mark.parametrize("user", [None, {}, {"id": "3", "login": "alice"}, {"id": True}, "alice"])
def test_an_author_who_is_not_there_is_nobody(user: Any) -> None:
    found = issue_of({**ISSUE, "user": user})
    assert found is not None
    assert found.author is None


@pytest.mark.parametrize("body", [None, 7, [], {}])
def test_a_body_that_is_no_text_is_empty(body: Any) -> None:
    found = issue_of({**ISSUE, "body": body})
    assert found is not None
    assert found.body == ""


def test_labels_are_told_apart_without_regard_to_case() -> None:
    found = issue_of({**ISSUE, "labels": [{"name": "Sentinel"}, "SENTINEL:done", {"name": None}, 7]})
    assert found is not None
    assert (found.labelled, found.state_labels) == (True, frozenset({"done"}))


@pytest.mark.parametrize(
    "url", [None, "", "x", "https://api/repos/o/r/issues/x", "https://api/repos/o/r/issues/" + "9" * 20]
)
def test_a_comment_on_nothing_is_none(url: Any) -> None:
    assert comment_of({"id": 1, "issue_url": url, "body": "x"}) is None


@pytest.mark.parametrize(
    ("permission", "role", "allowed"),
    [
        ("admin", "admin", True),
        ("write", "write", True),
        ("write", "maintain", True),
        ("push", "write", True),
        ("read", "triage", False),
        ("read", "read", False),
        ("none", "none", False),
        ("write", "our-own-role", True),
        ("read", "our-own-role", False),
        (None, None, False),
    ],
)
def test_write_permission_is_what_counts(permission: Any, role: Any, allowed: bool) -> None:
    answer = {"permission": permission, "role_name": role, "user": {"id": 3, "login": "alice"}}
    assert may_run(ALICE, permission_of(answer, ALICE), Policy()).allowed is allowed


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"permission": "admin", "user": {"id": 4, "login": "alice"}}]
)
def test_an_answer_about_somebody_else_is_no_permission(answer: Any) -> None:
    assert permission_of(answer, ALICE) == "none"


@pytest.mark.parametrize("user", [{"id": 7, "login": "x", "type": "Bot"}, {"id": 7, "login": "x[bot]"}])
def test_a_bot_has_no_permission_of_its_own(user: Any) -> None:
    bot = person_of(user)
    assert not may_run(bot, "admin", Policy()).allowed
    assert may_run(bot, "none", Policy(allow=frozenset({7}))).allowed


def test_with_nobody_only_the_lists_count() -> None:
    policy = Policy(least="nobody", approvers=frozenset({3}))
    assert not may_run(ALICE, "admin", policy).allowed
    assert may_command(ALICE, "none", policy).allowed


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("/retry", "/retry"),
        ("/retry  \nplease", "/retry"),
        ("\r\n/cancel\r\n", "/cancel"),
        ("/why\n/retry", "/why"),
        ("/approve 3FA9C1D2", "/approve"),
        ("/approve 3fa9", None),
        ("/approve 3fa9c1d2 please", None),
        ("/retry 3fa9c1d2", None),
        ("/destroy", None),
        ("", None),
        ("/", None),
        ("x" * 200_000, None),
        ("/retry" + " " * 200, None),
    ],
)
def test_a_command_is_the_first_line_alone(body: str, found: str | None) -> None:
    read = command(body)
    assert (None if read is None else str(read)) == found
