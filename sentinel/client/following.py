"""The calls that follow tasks, read what they gave, and change their course."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sentinel.client.connection import Connection
from sentinel.client.options import MAX_RESULT_BYTES
from sentinel.client.records import find
from sentinel.client.waiting import Changed, wait_until_ended
from sentinel.errors import NotFound, StoreError, TaskFailed
from sentinel.fleet import approvals, board, tasks
from sentinel.fleet.balancers import configured
from sentinel.fleet.why import Reason, why
from sentinel.model import codec, layout
from sentinel.model.ids import check_id
from sentinel.model.task import ENDED, Task
from sentinel.store.base import Snapshot, Transaction


class TaskCalls(Connection):
    """Follows and changes tasks."""

    def get(self, id: str) -> Task:
        """The task, active or ended. Raises `BadInput` and `NotFound`."""
        return find(self._read(), check_id(id, "task id"))

    def tasks(
        self, states: Collection[str] | None = None, type: str | None = None, worker: str | None = None
    ) -> list[Task]:
        """Active and ended tasks, the oldest first; ``states`` are those that people see, with ``blocked``.

        Records that cannot be read are left out; `problems` has them.
        """
        view = self.view()
        found = list(view.tasks.values())
        if states is None or not ENDED.isdisjoint(states):
            found += self._records.ended(view.snapshot)[0]
        if type is not None:
            found = [task for task in found if task.type == type]
        if worker is not None:
            found = [task for task in found if task.owner == worker]
        if states is not None:
            found = [task for task in found if board.state_of(task, view) in states]
        return sorted(found, key=lambda task: (task.created_at, task.id))

    def wait(
        self, ids: str | Sequence[str], timeout: float | None = None, on_change: Changed | None = None
    ) -> list[Task]:
        """The tasks once all have ended, in the order of ``ids``; ``timeout`` is in seconds.

        ``on_change`` is called with all of them at the first look and whenever one has changed. Raises
        `NotFound` and `WaitTimeout`.
        """
        ids = [ids] if isinstance(ids, str) else list(ids)
        for name in ids:
            check_id(name, "task id")
        return wait_until_ended(self._transactor, self._records, ids, timeout=timeout, on_change=on_change)

    def result(self, id: str, timeout: float | None = None) -> Any:
        """What the task returned, once it is done; ``timeout`` is in seconds.

        Raises `NotFound`, `WaitTimeout`, and `TaskFailed` when it ended otherwise.
        """
        (task,) = self.wait([id], timeout)
        if task.state != "done":
            raise TaskFailed(f"task {id} is {task.state}: {task.reason or 'no reason is recorded'}")
        return self.result_of(task)

    def result_of(self, task: Task) -> Any:
        """The result that a task's record holds or points to; None when it has none or it was pruned."""
        if task.result_blob is None:
            return task.result
        data = self.store.kept(task.result_blob)
        if data is None:
            return None
        try:
            return codec.decode(data, limit=MAX_RESULT_BYTES)
        except ValueError as error:
            raise StoreError(f"the result of task {task.id} cannot be read: {error}") from error

    def cancel(self, id: str, reason: str | None = None, *, dry_run: bool = False) -> Task:
        """Cancel a task that waits, or ask the owner of one that runs. Raises `NotFound` and `Conflict`."""
        check_id(id, "task id")
        reason = reason if reason is not None else f"cancelled by {self._actor}"

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Task]:
            change = self._transactor.change(snapshot)
            return tasks.cancel(change, snapshot, id, wall=self._clock.wall(), reason=reason)

        return self._transact(decide, dry_run=dry_run)

    def retry(self, id: str, *, dry_run: bool = False) -> Task:
        """Open a new run of a failed, cancelled or dead task. Raises `NotFound`.

        Raises `Conflict` also while a task that it is to run after has failed: that one comes first.
        """
        check_id(id, "task id")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Task]:
            change, wall = self._transactor.change(snapshot), self._clock.wall()
            return tasks.retry(change, snapshot, id, wall=wall, by=self._actor)

        return self._transact(decide, dry_run=dry_run)

    def approve(self, id: str, spec: str | None = None, *, dry_run: bool = False) -> Task:
        """Let a task run that came from outside and waits for an approval.

        ``spec`` is the beginning of the SHA-256 that was looked at; without it, what stands there now is
        approved. Raises `NotFound`, `Conflict` when it waits for none or is another, and `BadInput`.
        """
        check_id(id, "task id")

        def decide(snapshot: Snapshot) -> tuple[Transaction | None, Task]:
            change = self._transactor.change(snapshot)
            wall = self._clock.wall()
            return approvals.approve(change, snapshot, id, by=self._actor, spec=spec, wall=wall)

        return self._transact(decide, dry_run=dry_run)

    def why(self, id: str) -> Reason:
        """Why the task waits, where it runs, or how it ended.

        Raises `NotFound`, and `BadInput` when the configured balancer cannot be had.
        """
        task = self.get(id)
        registers = self.store.published()
        options = self._options
        balancer = configured(options.strategy, options.balancer_options, affinity=options.affinity)
        wall = self._clock.wall()
        return why(
            task, self.view(), registers, wall=wall, balancer=balancer, options=options.balancer_options
        )

    def log(self, id: str) -> bytes:
        """What the task printed so far if it runs on this host, or in its last ended attempt.

        Raises `NotFound` when there is no such task or no log of it.
        """
        task = self.get(id)
        live = self.live_log(task)
        if live is not None:
            return live.read_bytes()
        if task.log is None and task.attempt > 0 and task.state != "running":
            return b""
        if task.log is None or "blob" not in task.log:
            where = f"runs on {task.owner}; its log is stored when it ends" if task.state == "running" else ""
            raise NotFound(f"task {id} {where or f'is {task.state} and has no log'}")
        data = self.store.kept(str(task.log["blob"])) if task.log["blob"] else b""
        if data is None:
            raise NotFound(f"the log of task {id} was pruned")
        return data

    def log_path(self, id: str) -> Path | None:
        """The file that grows while the task runs on this host; None for every other task."""
        return self.live_log(self.get(id))

    def live_log(self, task: Task) -> Path | None:
        """`log_path` of a task that was read before."""
        folder = self.store.host_folder
        if folder is None or task.state != "running" or task.incarnation is None:
            return None
        name = f"{layout.run_name(task.id, task.epoch)}.log"
        path = folder / "logs" / layout.session_register(task.incarnation) / name
        return path if path.is_file() else None

    def wait_for_job(self, id: str, timeout: float | None = None) -> Any:
        """`result` in the words of job pools; ``timeout`` is in seconds, not in milliseconds."""
        return self.result(id, timeout)
