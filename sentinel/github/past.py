"""Which issues were dealt with, one bit each: all that is kept, for ever, of those whose records are gone.

Without it an old issue on which somebody says something would be a new one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

from sentinel.model import layout
from sentinel.model.codec import Fields
from sentinel.model.record import Stored, stamp
from sentinel.store.base import Snapshot

#: Issues that share one record.
_PAST = 4096
_BITS = re.compile(rf"[0-9a-f]{{1,{_PAST // 4}}}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Past(Stored):
    """Which of one part of all issues were dealt with."""

    #: It is about the issues from ``part`` times 4,096 on.
    part: int
    #: One bit an issue, the first the lowest, as a hexadecimal number.
    issues: str = "0"

    @staticmethod
    def part_of(number: int) -> int:
        """Which record an issue is in."""
        return number // _PAST

    def holds(self, number: int) -> bool:
        """Whether that issue was dealt with."""
        return bool(int(self.issues, 16) >> (number % _PAST) & 1)

    def added(self, numbers: Iterable[int]) -> Self:
        """The record with more issues of its part."""
        bits = int(self.issues, 16)
        for number in numbers:
            bits |= 1 << (number % _PAST)
        return dataclasses.replace(self, issues=f"{bits:x}")

    @classmethod
    def load(cls, key: str, document: Mapping[str, Any]) -> Past:
        """The record stored under ``key``. Raises `BadRecord` when it is not one, or is another's."""
        fields = Fields(key, document)
        record = cls(
            part=fields.count("part"),
            issues=fields.text("issues"),
            **stamp(fields),
        )
        if key != layout.past_key(record.part):
            raise fields.bad(f"it says it is part {record.part}")
        if not _BITS.fullmatch(record.issues):
            raise fields.bad("its issues are no hexadecimal number")
        return record


def is_past(snapshot: Snapshot, number: int) -> bool:
    """Whether an issue was dealt with, so that it is not taken in anew. Raises `BadRecord`."""
    past = snapshot.parsed(layout.past_key(Past.part_of(number)), Past.load)
    return past is not None and past.holds(number)
