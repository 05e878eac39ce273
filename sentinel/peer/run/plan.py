"""From a claimed task to the complete description of its execution. Pure: the same in, the same out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.errors import BadInput
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


def plan(task: Task, workshop: Workshop, *, folder: Path, environ: Mapping[str, str]) -> RunSpec:
    """The execution of ``task`` as it was claimed, with its files in ``folder``.

    ``environ`` is the worker's environment, of which the task gets little. Raises `BadInput` when the type
    is unknown or turned off here, or does not take these arguments.
    """
    name = run_name(task.id, task.epoch)
    # What pathlib makes of the three is dear where tasks are short.
    stem = f"{folder}/{name}"
    progress = f"{stem}.progress"
    common: dict[str, Any] = {
        "run": name,
        "cwd": workshop.cwd,
        "timeout": task.timeout,
        "grace": workshop.limits.grace,
        "output_limit": workshop.limits.output,
        "process_limit": workshop.limits.processes,
        "log_path": f"{stem}.log",
        "progress_path": progress,
    }
    env = {**clean(environ, workshop.pass_env), **_identity(task), context.PROGRESS_FILE: progress}
    if task.type == shell.SHELL and workshop.shell:
        argv = shell.argv(task.args, task.positional)
        return RunSpec(**common, argv=argv, env=env, memory_limit=workshop.limits.memory)
    if (command := workshop.commands.get(task.type)) is not None:
        return RunSpec(
            **common,
            argv=tuple(command.argv(task.args, task.positional)),
            env=env,
            memory_limit=_lower(workshop.limits.memory, command.memory),
        )
    if (function := workshop.types.get(task.type)) is not None:
        function.check(task.args, task.positional)
        result = f"{stem}.result.json"
        warm = function.warm and workshop.limits.warm_runs > 0
        program = "sentinel.peer.run.warm" if warm else "sentinel.peer.run.child"
        return RunSpec(
            **common,
            # Unbuffered, for the log is read live. -P: a file in the current folder hides no library.
            argv=(workshop.python, "-u", "-P", "-m", program),
            lane=ANY_LANE if warm else None,
            lane_runs=workshop.limits.warm_runs,
            lane_idle=workshop.limits.warm_idle,
            env=env | _python_path(env, workshop.import_path),
            stdin=_order(task, function, result, workshop.limits.result),
            memory_limit=_lower(workshop.limits.memory, function.memory),
            result_path=result,
        )
    if task.type == shell.SHELL:
        raise BadInput("the type shell is turned off on this worker (tasks.shell)")
    raise BadInput(f"this worker does not know the type {task.type!r}; {nearest(task.type, workshop.known)}")


def import_path(package_root: Path, library_paths: Sequence[str]) -> tuple[str, ...]:
    """What must be added to ``PYTHONPATH`` so that a fresh interpreter finds this package.

    Nothing when ``package_root``, the folder that holds ``sentinel``, is among the ``library_paths`` that
    the interpreter searches anyway: put first, it would let installed packages hide standard modules.
    """
    return () if str(package_root) in library_paths else (str(package_root),)


def _identity(task: Task) -> dict[str, str]:
    return {
        context.TASK_ID: task.id,
        context.RUN: str(task.run),
        context.ATTEMPT: str(task.attempt),
        context.FENCING_TOKEN: str(task.epoch),
        context.IDEMPOTENCY_KEY: f"{task.id}:{task.run}",
    }


def _order(task: Task, function: Registered, result_path: str, result_limit: int) -> str:
    return json.dumps(
        {
            "modules": [function.module],
            "type": task.type,
            "args": dict(task.args),
            "positional": list(task.positional),
            "result_path": result_path,
            "result_limit": result_limit,
        }
    )


def _python_path(env: Mapping[str, str], added: Sequence[str]) -> dict[str, str]:
    own = env.get("PYTHONPATH", "")
    folders = [*(own.split(os.pathsep) if own else ()), *added]
    return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}


def _lower(first: int | None, second: int | None) -> int | None:
    limits = [limit for limit in (first, second) if limit is not None]
    return min(limits, default=None)
