"""The calls that hand in tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sentinel.client import batches
from sentinel.client.connection import Connection
from sentinel.clock import rfc3339
from sentinel.errors import BadInput
from sentinel.fleet import submission, tasks
from sentinel.fleet.declared import registered, registered_limits, registered_types, unimplemented_types
from sentinel.fleet.submission import Submission
from sentinel.model.task import Task
from sentinel.model.worker import Worker
from sentinel.store.base import Snapshot, Transaction


class SubmitCalls(Connection):
    """Hands in tasks."""

    def submit(
        self,
        type: str,
        args: Mapping[str, Any] | None = None,
        *,
        positional: Sequence[Any] = (),
        id: str | None = None,
        priority: str = "normal",
        timeout: float | None = None,
        retries: int | None = None,
        after: Sequence[str] = (),
        affinity: Mapping[str, str] | None = None,
        allow_unknown_type: bool = False,
        dry_run: bool = False,
    ) -> Task:
        """Hand in one task; ``timeout`` is in seconds, for each attempt.

        With an ``id`` it is idempotent: the same specification again gives the task that exists. Raises
        `BadInput`, `NotFound` for a missing dependency, and `Conflict` when the id stands for something else.
        """
        wanted = Submission(
            type=type,
            args=args if args is not None else {},
            positional=positional,
            id=id,
            priority=priority,
            timeout=timeout,
            retries=retries,
            after=after,
            affinity=affinity if affinity is not None else {},
            allow_unknown_type=allow_unknown_type,
        )
        return self.submit_many([wanted], dry_run=dry_run)[0]

    def submit_many(self, wanted: Sequence[Submission], *, dry_run: bool = False) -> list[Task]:
        """Hand in many tasks with few commits; one may run after another that stands before it.

        All are tried before anything is raised: the error of the one that failed, or one with a sentence for
        each. Tasks with an id of yours can be sent again after any error.
        """
        ended: list[batches.Ended] = []
        # One look for the whole batch, and none where this side knows every type.
        workers = functools.cache(lambda: registered(self._read()))
        ids = self._ids.ulids()
        for item in wanted:
            try:
                ended.append(self._draft(item, workers, ids))
            except BadInput as error:
                ended.append(error)
        drafts = {place: item for place, item in enumerate(ended) if isinstance(item, Task)}
        lenient = {task.id for place, task in drafts.items() if wanted[place].allow_unknown_type}
        known = functools.lru_cache(maxsize=1)(self.known_types)
        begin = self._transactor.changes()

        def decide(snapshot: Snapshot, task: Task) -> tuple[Transaction | None, Task]:
            declared = self._options.types.get(task.type)
            if declared is not None and declared.check is not None:
                declared.check(task.args, task.positional)
            if declared is None and task.id not in lenient and task.type not in known(snapshot):
                unimplemented = unimplemented_types(registered(snapshot))
                submission.check_type(task.type, known(snapshot), unimplemented)
            return tasks.submit(begin(snapshot), snapshot, task, wall=self._clock.wall(), loaded=True)

        landed = batches.land_tasks(self._transactor, list(drafts.values()), decide, dry_run=dry_run)
        for place, result in zip(drafts, landed, strict=True):
            ended[place] = result
        return batches.raise_errors(ended)

    def submit_job(
        self, type: str, payload: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> str:
        """`submit` in the words of job pools: the id; ``timeout`` is in seconds, not in milliseconds."""
        return self.submit(type, payload, timeout=timeout).id

    def known_types(self, snapshot: Snapshot) -> dict[str, str]:
        """Task types that this side or a registered worker knows → where from."""
        own = {name: declared.origin for name, declared in self._options.types.items()}
        return {**registered_types(registered(snapshot)), **own}

    def _draft(self, wanted: Submission, workers: Callable[[], list[Worker]], ids: Iterator[str]) -> Task:
        # Tasks of one batch must be told apart by time, or first in would not be first out.
        self._last_created = max(self._clock.wall(), self._last_created + 1e-6)
        return submission.draft(
            wanted,
            task_id=next(ids),
            created_at=rfc3339(self._last_created),
            submitted_by=self._actor,
            declared=self._options.types.get(wanted.type) or registered_limits(workers(), wanted.type),
            default_timeout=self._options.timeout,
            default_retries=self._options.retries,
        )
