"""What tasks ask of shared memory, read from the lines that they send. Nothing in them is trusted."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from sentinel.errors import BadInput, ConfigurationError, SentinelError
from sentinel.model.codec import decode
from sentinel.model.memory import (
    ANY,
    Wish,
    check_key,
    check_namespace,
    check_prefix,
    check_ttl,
    check_value,
)

#: Longest request in bytes: a watch tells the version of every key that it knows.
MAX_REQUEST = 4 * 1024 * 1024
#: Longest time in seconds that one request of a watch may wait.
MAX_WAIT = 86_400.0
#: Longest text in characters of a version, a policy or a prefix.
_MAX_TEXT = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request; ``given`` is still as it came."""

    token: str
    call: str
    given: Mapping[str, Any]

    @classmethod
    def read(cls, line: bytes) -> Request:
        """The request in a line. Raises `BadInput` for what is none."""
        try:
            raw = decode(line, limit=MAX_REQUEST)
            return cls(str(raw["token"]), str(raw["call"]), dict(raw["with"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput("a request for shared memory cannot be read") from error

    def namespace(self) -> str:
        """The namespace. Raises `BadInput`, as all of these do."""
        return check_namespace(self.given.get("namespace"))

    def any_namespace(self) -> str | None:
        """The namespace, or None for all."""
        return None if self.given.get("namespace") is None else self.namespace()

    def key(self) -> str:
        """The key."""
        return check_key(self.given.get("key"))

    def any_key(self) -> str | None:
        """The key, or None for all."""
        return None if self.given.get("key") is None else self.key()

    def prefix(self) -> str:
        """The beginning of a key."""
        return check_prefix(self._text("prefix") or "")

    def max_age(self) -> float | None:
        """How old a read may be in seconds, or None."""
        return None if self.given.get("max_age") is None else self._seconds("max_age", math.inf)

    def timeout(self) -> float:
        """How long a watch waits, in seconds."""
        return self._seconds("timeout", MAX_WAIT)

    def known(self) -> dict[str, str]:
        """The versions that a watch knows by key."""
        known = self.given.get("known")
        if not isinstance(known, dict):
            raise BadInput("what a watch knows must be an object")
        return {check_key(key): str(version)[:_MAX_TEXT] for key, version in known.items()}

    def dry_run(self) -> bool:
        """Whether nothing is to be written."""
        return self.given.get("dry_run") is True

    def wish(self, by: str) -> Wish:
        """The write, wanted ``by`` somebody."""
        raw = self.given.get("wish")
        if not isinstance(raw, dict):
            raise BadInput("a write must be an object")
        inner = Request(self.token, self.call, raw)
        delete = raw.get("delete") is True
        namespace, key = inner.namespace(), inner.key()
        return Wish(
            namespace=namespace,
            key=key,
            value=None if delete else check_value(f"{namespace}/{key}", inner.value()),
            delete=delete,
            ttl=check_ttl(raw.get("ttl") or None),
            expect=ANY if "expect" not in raw else inner._text("expect"),
            read=inner._text("read"),
            policy=inner._text("policy"),
            by=by,
        )

    def value(self) -> Any:
        """The value, which is a text of its own."""
        try:
            return decode(str(self.given.get("value")).encode(), limit=MAX_REQUEST)
        except ValueError as error:
            raise BadInput(f"the value is not JSON: {error}") from error

    def _text(self, name: str) -> str | None:
        text = self.given.get(name)
        if text is not None and (not isinstance(text, str) or len(text) > _MAX_TEXT):
            raise BadInput(f"{name} must be a short text")
        return text

    def _seconds(self, name: str, most: float) -> float:
        number = self.given.get(name)
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
            raise BadInput(f"{name} must be a number of seconds, 0 or more")
        return min(float(number), most)


def reply(made: Callable[[], Any]) -> bytes:
    """The line that answers: what ``made`` gives, or the error that it raises."""
    try:
        return json.dumps({"reply": made()}).encode() + b"\n"
    except SentinelError as error:
        return refusal(error)


def refusal(error: SentinelError) -> bytes:
    """The line that says what went wrong."""
    kind = SentinelError if isinstance(error, ConfigurationError) else type(error)
    return json.dumps({"error": {"kind": kind.__name__, "message": str(error)}}).encode() + b"\n"
