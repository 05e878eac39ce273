"""From a claimed task to the complete description of its execution: the same in, the same out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.errors import BadInput
from sentinel.model.evolve import evolve
from sentinel.model.layout import run_name
from sentinel.model.task import Task
from sentinel.peer.run import context, shell
from sentinel.peer.run.arguments import nearest
from sentinel.peer.run.command import CommandTemplate
from sentinel.peer.run.environment import clean
from sentinel.peer.run.registered import Registered
from sentinel.peer.run.spec import ANY_LANE, RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker allows each task. None is without limit."""

    #: Seconds between SIGTERM and SIGKILL on a time-out.
    grace: float = 5.0
    #: Bytes of output that are kept.
    output: int = 1024 * 1024
    #: Bytes of memory of all processes of a task together; a type's own limit counts if it is lower.
    memory: int | None = None
    #: How many processes a task may have at a time.
    processes: int | None = 1024
    #: Bytes of a Python function's result.
    result: int = 16 * 1024 * 1024
    #: Functions that one process runs one after another before it makes room; 0 gives each one of its own.
    warm_runs: int = 10_000
    #: Seconds after which such a process ends that has nothing to do.
    warm_idle: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What one worker runs tasks with."""

    #: The interpreter for Python functions.
    python: str
    #: The folder that tasks start in: the worker's own, from which its modules were loaded.
    cwd: str
    types: Mapping[str, Registered] = field(default_factory=dict)
    commands: Mapping[str, CommandTemplate] = field(default_factory=dict)
    #: Whether the built-in type ``shell`` is on.
    shell: bool = True
    #: Variables of the worker's environment that tasks get besides the basics.
    pass_env: Sequence[str] = ()
    #: Folders that Python functions need on ``PYTHONPATH`` besides the worker's own; see `import_path`.
    import_path: Sequence[str] = ()
    limits: Limits = Limits()

    @property
    def known(self) -> frozenset[str]:
        """Every type that can be run here."""
        return frozenset({*self.types, *self.commands, *((shell.SHELL,) if self.shell else ())})


class Planner:
    """Makes of claimed tasks the complete description of their execution.

    What is the same for all tasks of a type is put together once.
    """

    def __init__(self, workshop: Workshop, *, folder: Path, environ: Mapping[str, str]) -> None:
        """Tasks' files are in ``folder``; of ``environ``, the worker's environment, they get little."""
        self.workshop = workshop
        self._folder = str(folder)
        self._env = clean(environ, workshop.pass_env)
        #: Type → an execution of it without what is a task's own, and the part of the order that says so.
        self._functions: dict[str, tuple[RunSpec, str]] = {}

    def __call__(self, task: Task) -> RunSpec:
        """The execution of ``task`` as it was claimed.

        Raises `BadInput` when the type is unknown or turned off here, or does not take these arguments.
        """
        workshop = self.workshop
        if task.type == shell.SHELL and workshop.shell:
            return self._program(task, shell.argv(task.args, task.positional), workshop.limits.memory)
        if (command := workshop.commands.get(task.type)) is not None:
            argv = tuple(command.argv(task.args, task.positional))
            return self._program(task, argv, _lower(workshop.limits.memory, command.memory))
        if (function := workshop.types.get(task.type)) is not None:
            return self._function(task, function)
        if task.type == shell.SHELL:
            raise BadInput("the type shell is turned off on this worker (tasks.shell)")
        raise BadInput(
            f"this worker does not know the type {task.type!r}; {nearest(task.type, workshop.known)}"
        )

    def _program(self, task: Task, argv: tuple[str, ...], memory: int | None) -> RunSpec:
        usual = self._usual(argv=argv, env=self._env, memory_limit=memory)
        return evolve(usual, **self._own(task, run_name(task.id, task.epoch)))

    def _function(self, task: Task, function: Registered) -> RunSpec:
        function.check(task.args, task.positional)
        known = self._functions.get(task.type)
        if known is None:
            known = self._functions[task.type] = self._prepared(function)
        usual, order = known
        name = run_name(task.id, task.epoch)
        result = f"{self._folder}/{name}.result.json"
        own = {"args": dict(task.args), "positional": task.positional, "result_path": result}
        return evolve(
            usual, **self._own(task, name), stdin=f"{order}{json.dumps(own)[1:]}", result_path=result
        )

    def _prepared(self, function: Registered) -> tuple[RunSpec, str]:
        limits = self.workshop.limits
        warm = function.warm and limits.warm_runs > 0
        program = "sentinel.peer.run.warm" if warm else "sentinel.peer.run.child"
        usual = self._usual(
            # Unbuffered, for the log is read live. -P: a file in the current folder hides no library.
            argv=(self.workshop.python, "-u", "-P", "-m", program),
            env=self._env | _python_path(self._env, self.workshop.import_path),
            lane=ANY_LANE if warm else None,
            lane_runs=limits.warm_runs,
            lane_idle=limits.warm_idle,
            memory_limit=_lower(limits.memory, function.memory),
        )
        order = {"modules": [function.module], "type": function.name, "result_limit": limits.result}
        return usual, f"{json.dumps(order)[:-1]}, "

    def _usual(self, **changes: Any) -> RunSpec:
        limits = self.workshop.limits
        return RunSpec(
            run="",
            cwd=self.workshop.cwd,
            grace=limits.grace,
            output_limit=limits.output,
            process_limit=limits.processes,
            log_path="",
            **changes,
        )

    def _own(self, task: Task, name: str) -> dict[str, Any]:
        # What pathlib makes of the paths is dear where tasks are short.
        progress = f"{self._folder}/{name}.progress"
        return {
            "run": name,
            "own": {
                context.TASK_ID: task.id,
                context.RUN: str(task.run),
                context.ATTEMPT: str(task.attempt),
                context.FENCING_TOKEN: str(task.epoch),
                context.IDEMPOTENCY_KEY: f"{task.id}:{task.run}",
                context.PROGRESS_FILE: progress,
            },
            "timeout": task.timeout,
            "log_path": f"{self._folder}/{name}.log",
            "progress_path": progress,
        }


def import_path(package_root: Path, library_paths: Sequence[str]) -> tuple[str, ...]:
    """What must be added to ``PYTHONPATH`` so that a fresh interpreter finds this package.

    Nothing when ``package_root``, the folder that holds ``sentinel``, is among the ``library_paths`` that
    the interpreter searches anyway: put first, it would let installed packages hide standard modules.
    """
    return () if str(package_root) in library_paths else (str(package_root),)


def _python_path(env: Mapping[str, str], added: Sequence[str]) -> dict[str, str]:
    own = env.get("PYTHONPATH", "")
    folders = [*(own.split(os.pathsep) if own else ()), *added]
    return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}


def _lower(first: int | None, second: int | None) -> int | None:
    limits = [limit for limit in (first, second) if limit is not None]
    return min(limits, default=None)
