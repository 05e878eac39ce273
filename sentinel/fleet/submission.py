"""What may be submitted: every rule and limit in one place, checked before anything is written.

Order of the checks: syntax (ids, JSON), names (priority, then the type), types and ranges, existence (of
what it is to run after, which only the store knows).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sentinel.errors import BadInput
from sentinel.model import codec
from sentinel.model.ids import check_id
from sentinel.model.task import MAX_RETRIES, MAX_TIMEOUT, MIN_TIMEOUT, PRIORITIES, Priority, Task

#: Seconds one attempt may take when neither the submission nor the declaration of its type says.
DEFAULT_TIMEOUT = 300.0
#: How many tasks one task may wait for.
MAX_AFTER = 1000
MAX_AFFINITY = 16
_MAX_LABEL = 128

Arguments = Callable[[Mapping[str, Any], Sequence[Any]], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a person asks for. None means: as the type declares it, or else the default."""

    type: str
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    positional: Sequence[Any] = ()
    id: str | None = None
    priority: str = "normal"
    #: Seconds one attempt may take.
    timeout: float | None = None
    retries: int | None = None
    after: Sequence[str] = ()
    affinity: Mapping[str, str] = dataclasses.field(default_factory=dict)
    allow_unknown_type: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the submitting side knows about a task type."""

    #: Where it is declared, for messages: ``config/shared.json``, ``module jobs``, ``worker-001``.
    origin: str
    #: Raises `BadInput` for arguments that the task cannot take; None when only the worker knows.
    check: Arguments | None = None
    timeout: float | None = None
    retries: int | None = None


def _check_shell(args: Mapping[str, Any], positional: Sequence[Any]) -> None:
    if args:
        raise BadInput(f"the type shell takes no argument {next(iter(args))!r}: give its argv after --")
    if not positional or not all(isinstance(word, str) for word in positional) or not positional[0]:
        raise BadInput("the type shell needs an argv of texts, such as: tasks submit shell -- ls -l")
    if any("\0" in word for word in positional):
        raise BadInput("the argv of a shell task holds a NUL character, which no program can be given")


#: The type that takes any argv; from trusted submitters alone.
SHELL_TYPE = "shell"
SHELL = Declared(origin="built in", check=_check_shell)


def draft(
    wanted: Submission,
    *,
    task_id: str,
    created_at: str,
    submitted_by: str,
    declared: Declared | None,
    default_timeout: float = DEFAULT_TIMEOUT,
    default_retries: int = 0,
) -> Task:
    """The task that ``wanted`` asks for, everything checked that can be checked without the store.

    ``task_id`` stands in when the submission names none. Raises `BadInput`.
    """
    check_id(wanted.type, "task type")
    task_id = check_id(task_id if wanted.id is None else wanted.id, "task id")
    after = _after(wanted.after, task_id)
    args, positional = _arguments(wanted.args, wanted.positional)
    declared = declared or Declared(origin="")
    timeout = _first(wanted.timeout, declared.timeout, default_timeout)
    retries = _first(wanted.retries, declared.retries, default_retries)
    return Task(
        id=task_id,
        type=wanted.type,
        args=args,
        positional=positional,
        priority=check_priority(wanted.priority),
        affinity=_affinity(wanted.affinity),
        timeout=check_timeout(timeout),
        retries=check_retries(retries),
        after=after,
        submitted_by=submitted_by,
        created_at=created_at,
    )


#: How code comes to a worker for a type that its configuration names.
HOW_TO_IMPLEMENT = (
    "name the module that registers it (--tasks, tasks.modules), or declare a command below tasks.commands"
)


def check_type(name: str, known: Mapping[str, str], unimplemented: Mapping[str, str] | None = None) -> None:
    """Refuse a type that is not in ``known`` (type → where it is known from). Raises `BadInput`.

    ``unimplemented`` are types that a worker is to take and has no code for.
    """
    if name in known:
        return
    if unimplemented is not None and name in unimplemented:
        raise BadInput(
            f"{unimplemented[name]} is to take {name!r} but has no code for it, and nobody else knows it: "
            f"{HOW_TO_IMPLEMENT}; --allow-unknown-type submits it all the same"
        )
    near = nearest(name, known)
    hint = f"; the nearest is {near} ({known[near]})" if near else ""
    raise BadInput(
        f"neither the configuration nor any worker knows the task type {name!r}{hint}; "
        "--allow-unknown-type submits it all the same"
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in ``known`` that looks most like ``name``; None when there is none at all."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return found[0] if found else None


def check_priority(name: str) -> Priority:
    """A valid priority. Raises `BadInput`, which names them all."""
    for priority in PRIORITIES:
        if priority == name:
            return priority
    raise BadInput(f"priority {_shown(name)} is not valid: use one of {', '.join(reversed(PRIORITIES))}")


def check_timeout(seconds: object) -> float:
    """A valid time-out in seconds. Raises `BadInput`, which names the range."""
    return check_number(seconds, "timeout", MIN_TIMEOUT, MAX_TIMEOUT, unit="seconds")


def check_retries(count: object) -> int:
    """A valid number of automatic retries. Raises `BadInput`, which names the range."""
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_RETRIES:
        raise BadInput(f"retries {_shown(count)} is not valid: use a whole number from 0 to {MAX_RETRIES}")
    return count


def check_number(value: object, what: str, low: float, high: float, *, unit: str) -> float:
    """``value`` as a finite number from ``low`` to ``high``. Raises `BadInput`, which names the range."""
    # The range refuses infinities, and NaN compares with nothing.
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise BadInput(f"{what} {_shown(value)} is not valid: use {unit} from {low:g} to {high:,.12g}")


def plain(value: Any, what: str) -> Any:
    """``value`` as the JSON that a store would give back: the caller's own copy. Raises `BadInput`."""
    try:
        data = codec.encode(value)
        if len(data) > codec.MAX_INLINE_BYTES:
            raise ValueError(f"{len(data)} bytes are more than the limit of {codec.MAX_INLINE_BYTES}")
        return codec.decode(data)
    except ValueError as error:
        raise BadInput(f"the {what} cannot be stored: {error}") from error


def _arguments(args: Mapping[str, Any], positional: Sequence[Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
    if isinstance(positional, str):
        raise BadInput("the positional arguments must be a list, not one text")
    # Together, because the limit is on what one record has to carry.
    both = plain([args, list(positional)], "arguments")
    if not isinstance(both[0], dict):
        raise BadInput("the arguments must be an object of names and values")
    return both[0], tuple(both[1])


def _after(ids: Sequence[str] | str, task_id: str) -> tuple[str, ...]:
    if isinstance(ids, str):
        ids = (ids,)
    if len(ids) > MAX_AFTER:
        raise BadInput(f"a task can run after at most {MAX_AFTER} others, not {len(ids)}")
    for dependency in ids:
        if check_id(dependency, "task id") == task_id:
            raise BadInput(f"task {task_id} cannot run after itself")
    return tuple(dict.fromkeys(ids))


def _affinity(labels: Mapping[str, object]) -> dict[str, str]:
    if len(labels) > MAX_AFFINITY:
        raise BadInput(f"a task can have at most {MAX_AFFINITY} affinity labels, not {len(labels)}")
    checked = {}
    for name, value in labels.items():
        check_id(name, "affinity label")
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_LABEL or not value.isprintable():
            raise BadInput(
                f"affinity {name}={_shown(value)} is not valid: use 1 to {_MAX_LABEL} printable characters"
            )
        checked[name] = value
    return checked


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else text[:39] + "…"
