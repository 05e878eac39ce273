"""What came of looking at one thing that must be right: for people, and for exit statuses."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Literal["ok", "warn", "fail"] = "ok"
    message: str
    #: What to do about it; None when all is well.
    fix: str | None = None
    #: The exit status when it failed.
    status: int = 0
