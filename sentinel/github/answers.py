"""What an answer of GitHub means: pure functions of a status, headers and text."""

from __future__ import annotations

import dataclasses
import email.utils
import functools
import json
from collections.abc import Mapping
from typing import Any, Literal

from sentinel.github.meter import number

#: Longest text of GitHub's that is repeated in a message.
_MAX_REASON = 300
#: Added to GitHub's time of reset, which is in whole seconds.
_AFTER_RESET = 1.0

Meaning = Literal["done", "unchanged", "limited", "unauthorised", "missing", "declined", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True)  # no slots: the body is parsed once
class Answer:
    """An answer as it came from GitHub, or from something on the way."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    text: str

    @property
    def meaning(self) -> Meaning:
        """What it comes to; ``failed`` is all that is no clear word of GitHub's."""
        if is_limit(self):
            return "limited"
        if self.status == 304:
            return "unchanged"
        if self.status == 401:
            return "unauthorised"
        if self.status >= 500 or self.status in (408, 425) or self.body is _NO_JSON:
            return "failed"
        if self.status == 403:
            return "unauthorised"
        if self.status in (404, 410):
            return "missing"
        return "done" if 200 <= self.status < 300 else "declined"

    @functools.cached_property
    def body(self) -> Any:
        """The parsed JSON; None where there is no text, and a mark of its own for what is no JSON."""
        if not self.text:
            # Only an answer that says so may be without content.
            return None if self.status in (204, 205, 304) or self.status >= 400 else _NO_JSON
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return _NO_JSON

    @property
    def reason(self) -> str:
        """GitHub's own words, on one line; empty when it said nothing readable."""
        body = self.body
        if not isinstance(body, dict):
            return ""
        words = [str(body.get("message", ""))]
        errors = body.get("errors")
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                words.append(
                    str(error.get("message") or f"{error.get('field', '')} {error.get('code', '')}".strip())
                )
            else:
                words.append(str(error))
        text = " ".join("; ".join(word for word in words if word).split())
        return "".join(char for char in text if char.isprintable())[:_MAX_REASON]


class _NoJson:
    """The mark for a body that is no JSON: a web page, or one that was cut off."""


_NO_JSON = _NoJson()


def is_limit(answer: Answer) -> bool:
    """Whether a rate limit refused the request. GitHub says so by 429 or by 403, with several signs."""
    if answer.status == 429:
        return True
    if answer.status != 403:
        return False
    if "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0":
        return True
    words = answer.reason.lower()
    return "rate limit" in words or "abuse detection" in words


def pause_after(answer: Answer, *, wall: float) -> float | None:
    """Seconds to wait after an answer that is a limit; None when it names none.

    The time of reset is compared with the answer's own date, and with our clock (``wall``, seconds since
    1970) only where it has none.
    """
    named = number(answer.headers, "retry-after")
    if named is not None:
        return named
    if answer.headers.get("x-ratelimit-remaining") == "0":
        return until_reset(answer.headers, wall=wall)
    return None


def until_reset(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds until GitHub's hour begins anew, or None when it does not say."""
    reset = number(headers, "x-ratelimit-reset")
    if reset is None:
        return None
    date = email.utils.parsedate_to_datetime(headers["date"]).timestamp() if _has_date(headers) else wall
    return max(0.0, reset - date) + _AFTER_RESET


def _has_date(headers: Mapping[str, str]) -> bool:
    try:
        email.utils.parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return False
    return True


def lacking(headers: Mapping[str, str]) -> str:
    """What GitHub says that the credentials would need, and have: for the message of a refusal."""
    permissions = headers.get("x-accepted-github-permissions", "")
    if permissions:
        return f"it needs the permission {' or '.join(permissions.replace(',', ', ').split('; '))}"
    accepted, has = headers.get("x-accepted-oauth-scopes", ""), headers.get("x-oauth-scopes")
    if accepted:
        held = "" if has is None else f", and has {has or 'none'}"
        return f"it needs one of the scopes {accepted}{held}"
    return ""


def next_page(link: str) -> str | None:
    """The URL of the next page in a ``Link`` header."""
    for part in link.split(","):
        url, _, rest = part.partition(";")
        if 'rel="next"' in rest.replace(" ", ""):
            return url.strip().removeprefix("<").removesuffix(">")
    return None
