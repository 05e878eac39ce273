"""What the scripts take as arguments: a mistake is told in one sentence, before anything is measured."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection
from pathlib import Path


def count(text: str) -> int:
    """A whole number, one or more."""
    return whole(text, least=1)


def whole(text: str, *, least: int = 0) -> int:
    """A whole number, ``least`` or more."""
    try:
        found = int(text)
    except ValueError:
        found = least - 1
    if found < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return found


def amount(text: str) -> float:
    """A number above zero."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return found


def existing_folder(text: str) -> Path:
    """A folder that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return Path(text)


def new_file(text: str) -> Path:
    """A file that can be written at the end, in a folder that is there."""
    found = Path(text)
    if found.is_dir() or not found.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no file in a folder that is there")
    return found


def some_of(known: Collection[str], *, noun: str) -> Callable[[str], list[str]]:
    """Some of ``known``, each a ``noun``, with commas between."""

    def parse(text: str) -> list[str]:
        wanted = list(dict.fromkeys(name.strip() for name in text.split(",")))
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {noun} {name!r}; there are {', '.join(known)}")
        return wanted

    return parse
