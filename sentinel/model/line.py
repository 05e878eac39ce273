"""Text of unknown origin on one line: for the audit, for histories and for reasons."""

from __future__ import annotations

_STAND_IN = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str, limit: int) -> str:
    """``text`` on one line of at most ``limit`` characters, all printable, spaces run together.

    What is not printable (controls, marks that turn the direction of reading, halves of surrogate pairs)
    could end a line of the audit, move a terminal's cursor, or not be stored at all.
    """
    if len(text) <= limit and text.isprintable() and "  " not in text and text == text.strip():
        return text
    line = " ".join(text[: 8 * limit].split())
    if not line.isprintable():
        line = "".join(character if character.isprintable() else _STAND_IN for character in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
