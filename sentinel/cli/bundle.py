"""``doctor --bundle``: all that a report of a problem needs in one file, without what nobody may see.

What people gave to tasks and what tasks gave back is left out, all shared memory too; of a secret setting
only its name is there; and every text passes the redactor.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import os
import platform
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel import __version__
from sentinel.cli.context import Invocation
from sentinel.errors import BadInput, ConfigurationError, SentinelError
from sentinel.model.check import Check
from sentinel.model.redaction import Redactor, secrets_of

if TYPE_CHECKING:
    from sentinel.client import Client

#: What a task was given and gave back; nobody who helps needs it, and there may be secrets in it.
_PRIVATE = ("args", "positional", "result")
#: Commits whose events are in it, and traces of bugs, the newest ones.
_EVENTS, _TRACES = 1000, 10
_README = """This file was made by `sentinel doctor --bundle` for a report of a problem.

Arguments and results of tasks, logs, and shared memory are not in it. Secrets were taken out as far as they
can be known: by the names of variables, by the values that this machine holds, and by the shapes of tokens.
Look into it before you send it to anybody.
"""


def write_bundle(invocation: Invocation, checks: Sequence[Check], place: Path) -> None:
    """Write the bundle; nothing is left behind when that fails.

    Raises `BadInput` when there is such a file already or it cannot be made, and `OSError`.
    """
    if place.exists():
        raise BadInput(f"{place} exists already; name a file that does not")
    redactor = Redactor(_secrets(invocation))
    part = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(f"{place} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in _contents(invocation, checks):
                text = content if isinstance(content, str) else json.dumps(redactor.value(content), indent=2)
                data = redactor.text(text).encode("utf-8", "backslashreplace")
                entry = tarfile.TarInfo(f"sentinel-bundle/{name}")
                entry.size, entry.mode = len(data), 0o600
                archive.addfile(entry, io.BytesIO(data))
        part.rename(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _contents(invocation: Invocation, checks: Sequence[Check]) -> Iterator[tuple[str, Any]]:
    yield "README.txt", _README
    yield "checks.json", [dataclasses.asdict(check) for check in checks]
    yield "versions.json", _versions()
    yield "configuration.json", _configuration(invocation)
    for trace in _traces(invocation.state_folder()):
        yield f"crashes/{trace.name}", trace.read_text(encoding="utf-8", errors="replace")
    try:
        with invocation.client() as client:
            for name, look in _fleet(client).items():
                try:
                    found = look()
                except SentinelError as error:
                    found = {"problem": str(error)}
                yield f"fleet/{name}.json", found
    except SentinelError as error:
        yield "fleet/problem.txt", f"{error}\n"


def _fleet(client: Client) -> Mapping[str, Callable[[], Any]]:
    """Each part of the fleet's state that helps, and how it is looked at."""
    from sentinel.fleet.board import lock_row, task_document

    def tasks() -> list[dict[str, Any]]:
        view = client.view()
        rows = [task_document(task, view, result=None) for task in client.tasks()]
        return [{name: value for name, value in row.items() if name not in _PRIVATE} for row in rows]

    def locks() -> list[dict[str, Any]]:
        view = client.view()
        return [lock_row(lock, view) for lock in client.locks()]

    return {
        "workers": lambda: [row.document() for row in client.workers()],
        "health": lambda: client.health().documents(),
        "metrics": lambda: client.metrics().document(),
        "tasks": tasks,
        "locks": locks,
        "events": lambda: [event.document() for event in client.events(_EVENTS)],
        "unreadable": lambda: [str(problem) for problem in client.problems()],
    }


def _versions() -> dict[str, Any]:
    needed = importlib.metadata.requires("task-sentinel") or []
    names = sorted({found[0] for text in needed if (found := re.match(r"[A-Za-z0-9._-]+", text))})
    packages = {}
    for name in names:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "task-sentinel": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }


def _configuration(invocation: Invocation) -> dict[str, Any]:
    from sentinel.settings import effective

    try:
        settings = invocation.settings()
    except (ConfigurationError, BadInput) as error:
        return {"problems": str(error).splitlines()}
    return {
        "files": list(settings.files),
        "warnings": list(settings.warnings),
        "settings": [
            {"name": found.name, "value": found.value, "origin": found.origin}
            for found in effective(settings)
            if found.origin != "default"
        ],
    }


def _traces(folder: Path) -> list[Path]:
    return sorted(folder.glob("crash-*.txt"), key=lambda trace: trace.stat().st_mtime)[-_TRACES:]


def _secrets(invocation: Invocation) -> Iterator[str]:
    """Every secret that this machine is known to hold."""
    from dotenv import dotenv_values

    yield from secrets_of(os.environ)
    dotenv = Path.cwd() / ".env"
    if dotenv.is_file():
        values = dotenv_values(dotenv, interpolate=False)
        yield from secrets_of({name: value for name, value in values.items() if value})
    try:
        token = invocation.settings().github.token
    except (ConfigurationError, BadInput):
        token = None
    if token is not None:
        yield token.get_secret_value()
    named = os.environ.get("SENTINEL_TOKEN_FILE")
    if named:
        try:
            yield Path(named).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return
