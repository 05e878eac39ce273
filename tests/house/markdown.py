"""As much of Markdown as the checks of the documentation need: sections, fenced blocks, tables, code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)\s*([\w-]*)")
_HEADING = re.compile(r"^(#{1,6}) +(.*?) *#*$")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line and what it stands in: ``fence`` is the language of a fenced block, None outside of one."""

    number: int
    text: str
    fence: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and everything below it, down to the next heading of its own or a higher level."""

    title: str
    line: int
    body: str


def lines(text: str) -> Iterator[Line]:
    """Every line but those that open or close a fenced block."""
    marker, language = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if marker and line.strip().startswith(marker) and not line.strip().strip(marker[0]):
            marker = ""
        elif fence and not marker:
            marker, language = fence[1], fence[2].lower()
        else:
            yield Line(number=number, text=line, fence=language if marker else None)


def sections(text: str) -> list[Section]:
    """All sections in the order of their headings; the inner ones are part of the outer ones' bodies, too."""
    every = list(lines(text))
    headings = [
        (index, len(found[1]), found[2])
        for index, line in enumerate(every)
        if line.fence is None and (found := _HEADING.match(line.text))
    ]
    found_sections = []
    for position, (index, level, title) in enumerate(headings):
        after = [start for start, depth, _ in headings[position + 1 :] if depth <= level]
        body = every[index + 1 : after[0] if after else len(every)]
        found_sections.append(
            Section(title=title, line=every[index].number, body="\n".join(line.text for line in body))
        )
    return found_sections


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, header rows included, rulers not."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.text.strip().strip("|"))]
        for line in lines(text)
        if line.fence is None and line.text.lstrip().startswith("|") and re.search(r"[^\s|:-]", line.text)
    ]


def code(text: str) -> list[str]:
    """What stands between backticks in a line or a cell."""
    return re.findall(r"`([^`]+)`", text)
