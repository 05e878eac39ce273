"""The only place that knows the keys, registers and refs that a fleet's state lives under.

=====================  ===========================================================================
``fleet``              the mark of a Sentinel store: who made it, when
``tasks/<id>``         a task that is not ended
``done/<id>``          a task whose last run ended
``workers/<id>``       a registered worker; names its latest incarnation
``incarnations/<inc>`` there exactly as long as that incarnation is live
``locks/<name>``       a named lock, held or free
``locks/.floor``       the epoch above which a new lock starts
``memory/<ns>/<hash>`` a value of shared memory, by a hash of its key
``github/issues/<n>``  what is known of an issue that asks for a task
``github/outbox/<n>``  what has been said on an issue, and what is still to be said
``github/files/<h>``   what is known of a file that asks for a task; a hash of its path
``github/past/<n>``    which issues were dealt with, a bit each
``github/seen``        up to when GitHub's lists were read
``github/mark``        which commit of the default branch was read last
``totals/<worker>``    what the ended incarnations of a worker did together, counted for people
``scaling``            what the scaler remembers
``alerts``             what is wrong with the fleet, and since when
``retention``          how the time is counted for which ended tasks are kept, and what goes next
``contention/<name>``  how often a named lock was wanted while another held it
``assignments/<id>``   what a coordinator wants that worker to take next
``door``               who joined last, where joins are spread over time
=====================  ===========================================================================
"""

from __future__ import annotations

import functools
import hashlib

#: The branch that holds the state; ``git log sentinel/state`` is the audit.
STATE_BRANCH = "sentinel/state"
STATE_REF = f"refs/heads/{STATE_BRANCH}"
#: Sessions are refs where the store is a Git server's, each a parentless commit.
SESSION_REFS = "refs/sentinel/sessions/"
#: One ref a day keeps that day's logs and large results alive.
ARTIFACT_REFS = "refs/sentinel/artifacts/"

FLEET = "fleet"
LOCK_FLOOR = "locks/.floor"
SCALING = "scaling"
ALERTS = "alerts"
DOOR = "door"
RETENTION = "retention"

TASKS = "tasks/"
DONE = "done/"
WORKERS = "workers/"
INCARNATIONS = "incarnations/"
LOCKS = "locks/"
TOTALS = "totals/"
CONTENTION = "contention/"
MEMORY = "memory/"
ASSIGNMENTS = "assignments/"

ISSUES = "github/issues/"
OUTBOX = "github/outbox/"
FILES = "github/files/"
PAST = "github/past/"
SEEN = "github/seen"
MARK = "github/mark"
#: The lock whose holder deals with issues and files; one peer at a time.
INTAKE_LOCK = "github.intake"
#: Stands for all workers that were forgotten when they left; no id begins like this.
FORGOTTEN = ".forgotten"


def task_key(task_id: str) -> str:
    """Where an active task is."""
    return TASKS + task_id


def done_key(task_id: str) -> str:
    """Where an ended task is."""
    return DONE + task_id


def worker_key(worker_id: str) -> str:
    """Where a worker's registration is."""
    return WORKERS + worker_id


def incarnation_key(incarnation: str) -> str:
    """Where the record is that makes an incarnation live."""
    return INCARNATIONS + incarnation


def lock_key(name: str) -> str:
    """Where a named lock is."""
    return LOCKS + name


def memory_folder(namespace: str) -> str:
    """Where the values of a namespace are."""
    return f"{MEMORY}{namespace}/"


def memory_key(namespace: str, key: str) -> str:
    """Where a value of shared memory is: a hash of its key, for that may be longer than a file name."""
    return memory_folder(namespace) + hashlib.sha256(key.encode()).hexdigest()[:32]


def issue_key(number: int) -> str:
    """Where it is kept what is known of an issue."""
    return f"{ISSUES}{number}"


def outbox_key(number: int) -> str:
    """Where it is kept what was said on an issue."""
    return f"{OUTBOX}{number}"


def file_key(path: str) -> str:
    """Where it is kept what is known of a file; a path may hold what no key may."""
    return FILES + hashlib.sha256(path.encode()).hexdigest()[:32]


def past_key(part: int) -> str:
    """Where it is kept which issues of a part of all were dealt with."""
    return f"{PAST}{part}"


def issue_task(number: int) -> str:
    """The id of the task that an issue asks for."""
    return f"issue-{number}"


def totals_key(worker_id: str) -> str:
    """Where it is counted what a worker did."""
    return TOTALS + worker_id


def contention_key(lock: str) -> str:
    """Where it is counted how often a named lock was in other hands."""
    return CONTENTION + lock


def assignment_key(worker_id: str) -> str:
    """Where a coordinator says what a worker is to take next."""
    return ASSIGNMENTS + worker_id


@functools.lru_cache(maxsize=4096)
def session_register(incarnation: str) -> str:
    """The register that an incarnation beats in: a hash, so that it is a legal file and ref name."""
    return hashlib.sha256(incarnation.encode()).hexdigest()[:32]


def artifact_ref(day: str) -> str:
    """The ref that keeps the artifacts of ``day`` (``2026-11-22``) alive."""
    return ARTIFACT_REFS + day


def run_name(task_id: str, epoch: int) -> str:
    """Names one execution of a task in files: a hash of the id, and the epoch."""
    return f"{hashlib.sha256(task_id.encode()).hexdigest()[:16]}-{epoch}"
