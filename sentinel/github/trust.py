"""Who may have tasks run, and who may say what of them. Pure decisions over what GitHub says of a person.

A person is a number: a login can be given up, and taken by somebody else. What counts is what they may do
*now*, or that their number is on the list in the configuration. Whoever may write to the repository may
disturb the fleet anyway (the state is a branch in it), so no decision here is stricter than that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Least = Literal["write", "maintain", "admin", "nobody"]

#: What GitHub calls the permissions, and what each of them includes. ``push`` is an older name of ``write``.
_RANKS: Mapping[str, int] = {"write": 1, "push": 1, "maintain": 2, "admin": 3}


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """An account, as GitHub names it beside what it wrote."""

    id: int
    login: str
    #: An App or a machine account that GitHub knows as such: it has no permission of its own to go by.
    bot: bool = False

    def __str__(self) -> str:
        return f"{self.login} ({self.id})"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may, by the configuration."""

    #: Least permission for which a person's own issues run, and their commands count.
    least: Least = "write"
    #: Numbers of accounts that may as well, bots included.
    allow: frozenset[int] = frozenset()
    #: Numbers of accounts that may approve and command, and whose own issues need an approval all the same.
    approvers: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is allowed, and why not (or why), in a sentence without a full stop."""

    allowed: bool
    why: str


def person_of(user: object) -> Person | None:
    """The person in GitHub's JSON; None for an account that is gone."""
    if not isinstance(user, Mapping) or type(user.get("id")) is not int:
        return None
    login = str(user.get("login") or "somebody")[:100]
    return Person(user["id"], login, user.get("type") == "Bot" or login.endswith("[bot]"))


def permission_of(answer: Any, person: Person) -> str:
    """The permission in GitHub's answer about a login; ``none`` when that is another account by now."""
    if not isinstance(answer, Mapping):
        return "none"
    found = person_of(answer.get("user"))
    if found is None or found.id != person.id:
        return "none"
    permission, role = str(answer.get("permission")), str(answer.get("role_name"))
    # A role that an organisation made up itself, under any name, stands in `role_name`; what it includes, in
    # `permission`, where GitHub's own role `maintain` is `write`.
    return role if role == "maintain" and permission in ("write", "push") else permission


def may_run(person: Person | None, permission: str, policy: Policy) -> Verdict:
    """Whether a person's own text may be run."""
    if person is None:
        return Verdict(False, "the account is gone that this is by")
    if person.id in policy.allow:
        return Verdict(True, f"{person} is on the list of those who may run tasks")
    if person.bot:
        return Verdict(False, f"{person} is a bot, and not on the list of those who may run tasks")
    if policy.least != "nobody" and _RANKS.get(permission, 0) >= _RANKS[policy.least]:
        return Verdict(True, f"{person} has the permission {permission}")
    needed = "to be on the list" if policy.least == "nobody" else policy.least
    return Verdict(False, f"{person} has the permission {permission}, and needs {needed}")


def may_command(person: Person | None, permission: str, policy: Policy) -> Verdict:
    """Whether a person may approve, retry, cancel and ask."""
    if person is not None and person.id in policy.approvers:
        return Verdict(True, f"{person} is on the list of approvers")
    return may_run(person, permission, policy)


def may_start(author: Verdict, labeller: Verdict | None) -> Verdict:
    """Whether an issue runs as it was opened. A label is a request: it adds nothing to what its author may.

    Who put it there counts all the same (``labeller``; None when GitHub does not tell who that was): an issue
    that merely talks about a task is not run because somebody labelled it who may run nothing.
    """
    if not author.allowed:
        return author
    if labeller is None:
        return Verdict(False, "GitHub does not tell who put its label there")
    if labeller.allowed:
        return author
    return Verdict(False, f"who put its label there may run nothing: {labeller.why}")
