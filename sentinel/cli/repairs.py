"""What ``doctor --fix`` puts right: only what nobody can want as it is, and nothing that a fleet stored."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sentinel.errors import SentinelError
from sentinel.model.check import Check
from sentinel.store.opener import StoreOptions, create_store, kind_of

#: How a check says that it can be put right without a person.
COMMAND = "`sentinel doctor --fix` does"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One thing that is not as it ought to be, and how it is put right."""

    #: The check that it belongs to.
    check: str
    #: What is wrong, and what puts it right, each in a sentence.
    problem: str
    remedy: str
    #: Puts it right. Raises `OSError` and `SentinelError`.
    apply: Callable[[], object]

    def checked(self, *, fix: bool) -> Check:
        """What comes of it: a warning, or with ``fix`` that it was put right, or why it could not be."""
        if not fix:
            return Check(name=self.check, level="warn", message=self.problem, fix=f"{self.remedy}; {COMMAND}")
        try:
            self.apply()
        except (OSError, SentinelError) as error:
            message = f"{self.problem}, and it could not be fixed: {error}"
            return Check(name=self.check, level="warn", message=message, fix=self.remedy)
        return Check(name=self.check, message=f"fixed: {self.problem}; did: {self.remedy}")


def of_state_folder(folder: Path) -> Iterator[Repair]:
    """A state folder that its owner cannot use, or that others can write: they could fake silence."""
    mode = _mode_of_own(folder)
    if mode is None:
        return
    wanted = (mode | stat.S_IRWXU) & ~(stat.S_IWGRP | stat.S_IWOTH)
    if wanted != mode:
        what = "others can write" if wanted & mode == wanted else "its owner cannot use"
        yield Repair(
            check="state folder",
            problem=f"{folder} is a folder that {what} (mode {mode:o})",
            remedy=f"chmod {wanted:o} {folder}",
            apply=lambda: folder.chmod(wanted),
        )


def of_secrets(environ: Mapping[str, str], folder: Path, *, in_dotenv: bool) -> Iterator[Repair]:
    """Files with a secret in them that others can read. ``in_dotenv`` tells whether `.env` has one."""
    named = [environ.get(name) for name in ("SENTINEL_TOKEN_FILE", "SENTINEL_GITHUB_PRIVATE_KEY_FILE")]
    places = [Path(name).expanduser() for name in named if name]
    if in_dotenv:
        places.append(folder / ".env")
    for place in places:
        mode = _mode_of_own(place)
        if mode is not None and mode & (stat.S_IRWXG | stat.S_IRWXO):
            wanted = mode & stat.S_IRWXU
            yield Repair(
                check="secrets",
                problem=f"{place} holds a secret, and others can read it (mode {mode:o})",
                remedy=f"chmod {wanted:o} {place}",
                apply=lambda place=place, wanted=wanted: place.chmod(wanted),  # type: ignore[misc]  # mypy cannot type defaults of a lambda
            )


def of_store(url: str, options: StoreOptions) -> Iterator[Repair]:
    """What `sentinel init` would do to a store that is there, on this host."""
    if kind_of(url) != "local":
        return
    wanted = create_store(url, options, dry_run=True)
    if wanted:
        yield Repair(
            check="store",
            problem=f"{url} is not set up as it ought to be: {' '.join(wanted)}",
            remedy=f"sentinel init --store {url}",
            apply=lambda: create_store(url, options),
        )


def _mode_of_own(place: Path) -> int | None:
    """The permissions of a file or folder of this user; None when there is none, or it is another's."""
    try:
        status = place.stat()
    except OSError:
        return None
    return stat.S_IMODE(status.st_mode) if status.st_uid == os.getuid() else None
