"""What GitHub's refusals mean. All are store errors, so that whoever handles those handles these.

::

    StoreError
    ├── Unavailable            certainly not applied; may be tried again
    │   ├── Limited            a rate limit: again after `retry_after` seconds, and not before
    │   └── Unauthorised       the credentials are refused, or lack a scope or permission
    │       └── NoCredentials  there are none on this machine that could be sent (exit status 78)
    ├── OutcomeUnknown         a mutation without a clear answer
    ├── Missing                404 or 410: it is not there, or not for these credentials
    └── Rejected
        └── Declined           any other definite refusal, with GitHub's own words

No message holds a token.
"""

from __future__ import annotations

from sentinel.errors import Rejected, StoreError, Unavailable


class Limited(Unavailable):
    """A rate limit of GitHub, or one that we keep for it, is in the way. It says nothing about any peer."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        #: Seconds from now after which it is worth another try.
        self.retry_after = retry_after


class Unauthorised(Unavailable):
    """GitHub refuses the credentials (401), or they lack what was asked for (403); the message names it."""

    def __init__(self, message: str, *, status: int = 401) -> None:
        super().__init__(message)
        #: 403 for credentials that are good, but not for this.
        self.status = status


class NoCredentials(Unauthorised):
    """This machine has no credentials, or none that can be sent: nothing was asked of GitHub.

    A daemon that started with good ones waits for them as for a store that is away.
    """

    exit_status = 78


class Missing(StoreError):
    """There is nothing at ``path``, or nothing that these credentials may see."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        #: What was asked for, relative to the API.
        self.path = path


class Declined(Rejected):
    """GitHub understood the request and will not do it: 409, 422 and their like."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        #: GitHub's own words, on one line.
        self.reason = reason
