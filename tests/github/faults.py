"""What goes wrong between us and GitHub, as the proxy does it."""

from __future__ import annotations

import dataclasses
import enum
import re


class Fault(enum.Enum):
    """What becomes of a request."""

    #: Not passed on; the connection is reset.
    RESET_BEFORE = "reset before the effect"
    #: Passed on; when it was done, the connection is reset instead of the answer.
    RESET_AFTER = "reset after the effect"
    #: Passed on; the answer never comes.
    SILENT_AFTER = "silent after the effect"
    #: Taken, and never answered.
    BLACK_HOLE = "black hole"
    #: Not passed on; a gateway's 502, which is a web page.
    BAD_GATEWAY_BEFORE = "502 before the effect"
    #: Passed on; when it was done, a gateway's 502.
    BAD_GATEWAY_AFTER = "502 after the effect"
    #: Not passed on; 503 in JSON.
    UNAVAILABLE = "503"
    #: Not passed on; 200 with a web page, as a captive portal answers.
    HTML = "HTML"
    #: Passed on; the answer is a web page.
    HTML_AFTER = "HTML after the effect"
    #: Passed on; the answer ends in the middle, with the length that it would have had.
    TRUNCATED = "truncated JSON"
    #: Passed on; the JSON ends in the middle, and nothing else says so.
    TORN = "torn JSON"
    #: Not passed on; 403 of the secondary limit, without a time.
    SECONDARY = "403 secondary"
    #: The same with ``Retry-After``.
    SECONDARY_RETRY_AFTER = "403 secondary with Retry-After"
    #: Not passed on; 429 with ``Retry-After``.
    TOO_MANY = "429"
    #: The same without a time.
    TOO_MANY_BARE = "429 without a time"
    #: Not passed on; the hour's requests are used up.
    PRIMARY = "403 primary"
    #: Not passed on; the token is not accepted.
    UNAUTHORISED = "401"
    #: Not passed on; a fine-grained token lacks a permission.
    LACKS_PERMISSION = "403 permission"
    #: Not passed on; a classic token lacks a scope.
    LACKS_SCOPE = "403 scope"
    #: A read is answered with what was there before the last change of it.
    STALE = "stale read"


#: Those for which the request reaches GitHub.
AFTER = frozenset(
    {
        Fault.RESET_AFTER,
        Fault.SILENT_AFTER,
        Fault.BAD_GATEWAY_AFTER,
        Fault.HTML_AFTER,
        Fault.TRUNCATED,
        Fault.TORN,
        Fault.STALE,
    }
)


@dataclasses.dataclass(slots=True)
class Plan:
    """A fault, and which requests it happens to."""

    fault: Fault
    #: Matched against ``METHOD /path?query``, anywhere in it.
    where: re.Pattern[str]
    #: So many are left; None for all.
    times: int | None
    #: Seconds named in ``Retry-After``.
    retry_after: int
    #: So many that match go through first.
    after: int
