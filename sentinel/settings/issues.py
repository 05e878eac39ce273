"""Settings of issues as tasks: who may have them run, and how often they are looked at."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from sentinel.settings.key import setting
from sentinel.settings.rules import Number, Section, Switch

#: GitHub's numbers have no stated limit; this one is far above them.
_MAX_ACCOUNT = 2**53


def _account(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_ACCOUNT:
        raise ValueError(
            "must be the number of a GitHub account, not its name; `gh api users/NAME --jq .id` tells it"
        )
    return value


Account = Annotated[int, BeforeValidator(_account)]
_ACCOUNTS = "numbers of GitHub accounts (in the environment separated by commas)"


class Issues(Section):
    """Issues and files on GitHub as tasks."""

    enabled: Switch = setting(
        True,
        "Whether issues and files become tasks, and are answered.",
        json="github.issues.enabled",
        scope="fleet",
    )
    poll: Number = setting(
        60.0,
        "Pause between two looks at issues, comments and files, which one worker does for all. It gets "
        "longer when GitHub's limits ask for it.",
        json="github.issues.pollSeconds",
        unit="seconds",
        ge=0.5,
        le=3600,
        scope="fleet",
    )
    permission: Literal["write", "maintain", "admin", "nobody"] = setting(
        "write",
        "Least permission in the repository with which somebody's issues run without an approval, and "
        "commands count. With `nobody` only the lists below count.",
        json="github.issues.permission",
        values="write, maintain, admin or nobody",
        scope="fleet",
    )
    allow: tuple[Account, ...] = setting(
        (),
        "Accounts whose issues run, and whose commands count, whatever their permission. A bot has no "
        "other way.",
        json="github.issues.allow",
        values=_ACCOUNTS,
        scope="fleet",
    )
    approvers: tuple[Account, ...] = setting(
        (),
        "Accounts whose commands count, whatever their permission, and whose own issues need an approval.",
        json="github.issues.approvers",
        values=_ACCOUNTS,
        scope="fleet",
    )
