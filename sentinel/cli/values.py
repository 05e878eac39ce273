"""What options accept, each refused with a sentence that names its rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from sentinel.errors import BadInput
from sentinel.fleet.submission import check_number, check_retries, check_timeout, nearest
from sentinel.model import memory
from sentinel.model.ids import check_id
from sentinel.model.lock import MAX_TTL, MIN_TTL

#: States of a task as people see them.
STATES = ("pending", "blocked", "awaiting_approval", "running", "done", "failed", "cancelled", "dead")
#: Longest wait in seconds that an option accepts.
MAX_WAIT = 31_536_000.0


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    # Older versions of click know no type argument.
    _ParamType = click.ParamType


class _Checked(_ParamType):
    """A text that is converted, then checked by a function that raises `BadInput`."""

    def __init__(self, name: str, convert: Callable[[str], Any]) -> None:
        self.name = name
        self._convert = convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002 - click's signature
        """The checked value. Raises `BadInput`."""
        return self._convert(value) if isinstance(value, str) else value


# Python also reads 1_000 and the digits of other scripts, which few people expect.
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def _whole(text: str) -> object:
    return int(text) if _WHOLE.fullmatch(text) else text


def _number(text: str) -> object:
    # A whole number stays one, so that a refusal shows what was typed.
    return float(text) if _NUMBER.fullmatch(text) and not _WHOLE.fullmatch(text) else _whole(text)


def _seconds(what: str, low: float, high: float) -> Callable[[str], float]:
    return lambda text: check_number(_number(text), what, low, high, unit="seconds")


def _epoch(text: str) -> int:
    number = _whole(text)
    if not isinstance(number, int) or number < 1:
        raise BadInput(f"epoch {text[:40]!a} is not valid: use the number that `locks acquire` printed")
    return number


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", text)
    if match is None:
        raise BadInput(f"duration {text[:40]!a} is not valid: write a number with s, m, h or d, such as 55m")
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]
    if seconds <= 0:
        raise BadInput(f"duration {text!a} is not valid: it must be more than nothing")
    return seconds


def _states(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in STATES:
            near = nearest(name, STATES)
            raise BadInput(
                f"state {name[:40]!a} is not valid: the nearest is {near}, all are {', '.join(STATES)}"
            )
    return names


def an_id(what: str) -> _ParamType:
    """An id by the rule of ids; ``what`` (``task id``) is named in the refusal."""
    return _Checked("id", lambda text: check_id(text, what))


def split_pair(text: str, option: str) -> tuple[str, str]:
    """``NAME=VALUE`` as two texts. Raises `BadInput`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadInput(f"{option} {text[:40]!a} is not valid: write NAME=VALUE")
    return name, value


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Each ``NAME=VALUE`` once. Raises `BadInput`."""
    found: dict[str, str] = {}
    for text in texts:
        name, value = split_pair(text, option)
        if name in found:
            raise BadInput(f"{option} names {name[:40]!a} twice")
        found[name] = value
    return found


NAMESPACE = _Checked("namespace", memory.check_namespace)
MEMORY_KEY = _Checked("key", memory.check_key)
PREFIX = _Checked("prefix", memory.check_prefix)
MEMORY_TTL = _Checked("seconds", lambda text: memory.check_ttl(_number(text)))
TIMEOUT = _Checked("seconds", lambda text: check_timeout(_number(text)))
RETRIES = _Checked("count", lambda text: check_retries(_whole(text)))
TTL = _Checked("seconds", _seconds("ttl", MIN_TTL, MAX_TTL))
WAIT = _Checked("seconds", _seconds("wait", 0.0, MAX_WAIT))
PATIENCE = _Checked("seconds", _seconds("timeout", 0.0, MAX_WAIT))
DURATION = _Checked("duration", _duration)
PER_HOUR = _Checked(
    "count", lambda text: check_number(_number(text), "tasks per hour", 0, 1_000_000, unit="tasks")
)
EPOCH = _Checked("epoch", _epoch)
STATE_LIST = _Checked("states", _states)
