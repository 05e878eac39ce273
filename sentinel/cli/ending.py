"""How the process ends: one line for people on standard error, and a documented exit status."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sentinel.errors import BadRecord, ConfigurationError, SentinelError
from sentinel.folders import state_folder

#: What newer versions of click raise for a group without a command; it carries the help text.
_HELP_WANTED: tuple[type[click.UsageError], ...] = tuple(
    found for found in (getattr(click.exceptions, "NoArgsIsHelpError", None),) if found is not None
)
#: A bug of ours.
BUG = 70
_INTERRUPTED = 130
#: As a shell reports a program that wrote to a closed pipe.
_BROKEN_PIPE = 141


class ReaderGone(Exception):
    """Whoever read our standard output has closed it."""


def run_to_status(command: Callable[[], Any]) -> int:
    """Run ``command`` and give the exit status; whatever it raises becomes a line on standard error."""
    _write_anything()
    if logging.lastResort is not None:
        # Where a command sets up no log, a warning is one of our lines on standard error.
        logging.lastResort.setFormatter(logging.Formatter("sentinel: %(message)s"))
    try:
        status = command()
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        if error.ctx is not None and isinstance(error, _HELP_WANTED):
            click.echo(error.ctx.get_help(), err=True)
            return 2
        where = f"; see `{error.ctx.command_path} --help`" if error.ctx is not None else ""
        _say(f"{error.format_message().rstrip('.')}{_meant_as_value(error)}{where}")
        return 2
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return _INTERRUPTED
    except ConfigurationError as error:
        for problem in error.problems:
            _say(problem)
        return error.exit_status
    except SentinelError as error:
        for sentence in str(error).splitlines():
            _say(sentence)
        return error.exit_status
    except ReaderGone:
        # Nothing more can be written, and Python would try again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        _say(f"{_path(error)}: {error.strerror}" if error.filename is not None else str(error))
        return 1
    except BadRecord as problem:
        _say(f"the record {problem}; `sentinel doctor` lists all such records")
        return 5
    except Exception as error:  # noqa: BLE001 - the one place that turns a bug of ours into its exit status
        return _bug(error)


def plain(text: str) -> str:
    """``text`` with everything escaped that could move a terminal's cursor, or its reader's eye."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def _meant_as_value(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption) and re.match(r"-+[0-9.]", error.option_name):
        return "; a value that begins with - comes after --"
    return ""


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"sentinel: {plain(' '.join(sentence.split()))}", err=True)


def _bug(error: Exception) -> int:
    if os.environ.get("SENTINEL_DEBUG") == "1":
        traceback.print_exception(error)
        return BUG
    kept = _keep_traceback(error)
    where = f"the traceback is in {kept}" if kept else "set SENTINEL_DEBUG=1 to see the traceback"
    _say(f"this is a bug of Task Sentinel, please report it: {type(error).__name__}: {error}; {where}")
    return BUG


def _keep_traceback(error: Exception) -> Path | None:
    configured = os.environ.get("SENTINEL_STATE_FOLDER")
    folder = state_folder(Path(configured) if configured else None, os.environ)
    place = folder / f"crash-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(
            place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            traceback.print_exception(error, file=stream)
    except OSError:
        return None
    return place


def _path(error: OSError) -> str:
    name = error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)


def _write_anything() -> None:
    # Names of files and arguments need not be text that the locale can write.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Started with the descriptor closed: what nobody can read is thrown away.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives on
            continue
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
