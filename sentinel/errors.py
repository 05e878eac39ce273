"""Every error that Task Sentinel raises on purpose, and the exit status each one leads to.

::

    SentinelError                 1   the thing asked for failed
    ├── BadInput                  2   a value breaks a documented rule
    ├── NotFound                  3   no such task, worker or lock
    ├── Conflict                  4   somebody else was first
    │   ├── LockHeld
    │   ├── LockLost
    │   └── WorkerIdInUse
    ├── ClaimLost                 4   the claim that this ran under is not in force any more
    ├── StoreError                5   the store cannot serve
    │   ├── Unavailable               certainly not applied; may be tried again
    │   ├── OutcomeUnknown            may or may not have been applied
    │   ├── NotAStore                 there is no Sentinel store at that place
    │   ├── Rewound                   the state was moved back or deleted by somebody
    │   └── Rejected                  the store refused the change for good
    ├── TaskFailed                1   a waited-for task did not end as done
    ├── WaitTimeout             124   waited in vain
    └── ConfigurationError       78   supervisors must not restart

    BadRecord                         a stored record that cannot be read; never ends a process

The three kinds of store failure are kept apart on purpose: after a *conflict* one decides again on
fresh data, *unavailable* is tried again as it is, and after *outcome unknown* one looks for one's
own transaction id first.
"""

from __future__ import annotations

from collections.abc import Sequence


class SentinelError(Exception):
    """Base of all errors meant for a person. The message is one sentence that names input and remedy."""

    exit_status = 1


class BadInput(SentinelError):
    """A value breaks a documented rule; the message names the value and the rule."""

    exit_status = 2


class NotFound(SentinelError):
    """There is no such task, worker, lock or file."""

    exit_status = 3


class Conflict(SentinelError):
    """Somebody else was first, or the state does not allow the change."""

    exit_status = 4


class LockHeld(Conflict):
    """The named lock is held by somebody else."""


class LockLost(Conflict):
    """The lock that work ran under is no longer ours."""


class WorkerIdInUse(Conflict):
    """A live worker already has this id."""


class ClaimLost(SentinelError):
    """The task that wanted this is not under that claim any more; trying again cannot help.

    No `Conflict`, which a loop answers by trying again.
    """

    exit_status = 4


class StoreError(SentinelError):
    """The store cannot serve the request."""

    exit_status = 5


class Unavailable(StoreError):
    """The store did not apply the change, for certain; the same request may be sent again."""


class OutcomeUnknown(StoreError):
    """The change may or may not have been applied: look for its transaction id before anything else."""


class NotAStore(StoreError):
    """The place exists or not, but it holds no Task Sentinel state."""


class Rewound(StoreError):
    """The state is older than what this machine has seen: an alarm, and nothing is claimed meanwhile.

    The message tells how to put the newest state back, and how to accept its loss.
    """


class Rejected(StoreError):
    """The store refused this very change (a hook, a size limit); sending it again will not help."""


class TaskFailed(SentinelError):
    """A waited-for task ended in another state than ``done``."""


class WaitTimeout(SentinelError):
    """The thing waited for did not happen in time."""

    exit_status = 124


class ConfigurationError(SentinelError):
    """One or more settings are wrong; ``problems`` holds a sentence for each, file and key named."""

    exit_status = 78

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BadRecord(Exception):
    """A stored record that is torn, of a future format, or not what its key says.

    Readers skip such a record and report it: one bad record must not stop the fleet.
    """

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: {reason}")
